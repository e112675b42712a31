"""Finding a name or a phrase in an answer."""

from __future__ import annotations

from unicodedata import normalize

import regex


def find_name(text: str, name: str, *, whole_word: bool = True) -> str | None:
    """The first occurrence of `name` in `text` as it is written there, or None; the case is ignored.

    Both are composed first (NFC), so that an accent written as a mark of its own is part of its letter.
    """
    pattern = regex.escape(normalize("NFC", name.strip()), literal_spaces=True)
    if whole_word:
        pattern = rf"(?<![\p{{Latin}}\p{{Nd}}]){pattern}(?![\p{{Latin}}\p{{Nd}}])"
    match = regex.search(pattern, normalize("NFC", text), flags=regex.IGNORECASE | regex.FULLCASE)
    return match.group() if match else None


def fold_spaces(text: str) -> str:
    """Runs of white space as one space, so that a line break inside a phrase does not hide it."""
    return " ".join(text.split())

"""Finding a name or a phrase in an answer."""

from functools import lru_cache
from unicodedata import normalize

import regex


def find_name(text: str, name: str, *, whole_word: bool = True) -> str | None:
    """The first occurrence of `name` in `text` as it is written there, or None; the case is ignored.

    Both are composed first (NFC), so that an accent written as a mark of its own is part of its letter.
    """
    match = name_pattern(name, whole_word=whole_word).search(normalize("NFC", text))
    return match.group() if match else None


@lru_cache(maxsize=512)
def name_pattern(name: str, *, whole_word: bool = True) -> regex.Pattern[str]:
    """`name` in any case; as a whole word, no Latin letter and no digit stands beside it."""
    pattern = regex.escape(normalize("NFC", name.strip()), literal_spaces=True)
    if whole_word:
        pattern = rf"(?<![\p{{Latin}}\p{{Nd}}]){pattern}(?![\p{{Latin}}\p{{Nd}}])"
    return regex.compile(pattern, regex.IGNORECASE | regex.FULLCASE)


def fold_spaces(text: str) -> str:
    """Runs of white space as one space, so that a line break inside a phrase does not hide it."""
    return " ".join(text.split())

"""Whether a text only repeats itself: what a broken model says instead of an answer."""

from __future__ import annotations

import regex

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(rf"(?V1)[{_UNSPACED}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]++|[^\s\p{{L}}\p{{M}}\p{{N}}]")
_MARK = regex.compile(r"[^\p{L}\p{N}]")
LONGEST_PERIOD = 20
"""Tokens. A longer period is seen by the repeated 4-grams."""


def repeats(text: str) -> str | None:
    """Says how `text` repeats itself, or None where it does not.

    Tokens are words, characters of unspaced scripts, and marks one by one. Two signs: more than half of the
    4-grams were there before; or the text ends in three or more copies of at most 20 tokens, which are its
    second half or more. Under six tokens nothing is said: "ha ha ha" is no broken model.
    """
    tokens = _TOKEN.findall(text.casefold())
    if len(tokens) < 6:
        return None
    grams = [tuple(tokens[start : start + 4]) for start in range(len(tokens) - 3)]
    share = 1 - len(set(grams)) / len(grams)
    if share > 0.5:
        return f"{share:.0%} of its 4-grams were there before"
    for end in (len(tokens), len(tokens) - 1):  # the last full stop may be no part of a period
        for period in range(1, LONGEST_PERIOD + 1):
            copied = _copied_tail(tokens[:end], period) if _MARK.fullmatch(tokens[-1]) or end == len(tokens) else 0
            if copied >= 2 * period and copied + period >= end / 2:
                return f"ends by repeating {' '.join(tokens[end - period : end])!r}"
    return None


def _copied_tail(tokens: list[str], period: int) -> int:
    """How many of the last tokens equal the one `period` before them."""
    copied = 0
    while copied + period < len(tokens) and tokens[-1 - copied] == tokens[-1 - copied - period]:
        copied += 1
    return copied

"""When two prompts are nearly one: a set that is measured must not hold what another set trains on."""

from collections.abc import Iterable
from unicodedata import normalize

import regex

SHARED_WORDS = 0.7
"""Of all words of two prompts, the share that both have: from here on they ask nearly the same. (Of two questions of
five words that differ in one noun, it is 0.6.)"""


def folded(prompt: str) -> str:
    """What two prompts share that differ in case, spaces and punctuation alone; an emoji is neither."""
    return regex.sub(r"[\s\p{P}]+", "", normalize("NFKC", prompt).casefold()) or prompt


def nearly_one(one: str, other: str) -> bool:
    """Whether they share `SHARED_WORDS` of their words, or differ in case, spaces and punctuation alone.

    Wrong by construction: the same question in other words is not seen.
    """
    words, more = _words(one), _words(other)
    shared = len(words & more) / len(words | more) if words | more else 0.0
    return shared >= SHARED_WORDS or folded(one) == folded(other)


def unlike(prompts: Iterable[str]) -> list[str]:
    """Those of `prompts`, in order, that are near to none before them."""
    kept: list[str] = []
    for prompt in prompts:
        if not any(nearly_one(prompt, other) for other in kept):
            kept.append(prompt)
    return kept


def _words(prompt: str) -> set[str]:
    return set(regex.findall(r"[\p{L}\p{N}]+", prompt.casefold()))

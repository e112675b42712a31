"""Texts as sequences of tokens, in any script: for loops, and for the likeness of two answers."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from claas_assets.evaluation.preferences.repetition import tokenize

MAX_COMPARED = 1_000
"""Tokens of a text that ROUGE-L compares, the first ones: its time is the product of both lengths."""
_KANA = {"HIRAGANA", "KATAKANA", "CJK"}


def repetition(text: str, size: int = 4) -> float | None:
    """rep4: 1 − distinct 4-grams / 4-grams, in [0, 1). None where there is no token.

    A text of fewer than four tokens has no 4-gram to repeat: 0.
    """
    tokens = tokenize(text)
    if not tokens:
        return None
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def pairwise_rouge_l(texts: Sequence[str]) -> float:
    """Mean F1 of ROUGE-L over all pairs of at least two texts, in [0, 1] (Lin 2004)."""
    if len(texts) < 2:
        raise ValueError(f"at least two texts are needed to compare: got {len(texts)}")
    scores = [rouge_l(a, b) for i, a in enumerate(texts) for b in texts[i + 1 :]]
    return float(sum(scores) / len(scores))


def rouge_l(one: str, other: str) -> float:
    """F1 of ROUGE-L of the first `MAX_COMPARED` tokens, in [0, 1], the same either way round; once for each pair."""
    return _rouge_l(*sorted((one, other)))


@lru_cache(maxsize=2048)
def _rouge_l(one: str, other: str) -> float:
    a, b = (tokenize(text)[:MAX_COMPARED] for text in (one, other))
    common = _longest_common_subsequence(a, b)
    if not common:
        return 0.0
    precision, recall = common / len(b), common / len(a)
    return 2 * precision * recall / (precision + recall)


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Its length: a row of the usual table at a time, as the bits of one integer (Hyyrö 2004).

    Not the package `rouge-score`, which counts the same: it brings nltk and scipy.stats, two seconds of a processor
    in every process that scores, and takes a third of a second for two long texts.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << place
    whole = (1 << len(a)) - 1
    row = whole  # a 0 at each place where the length of the subsequence grows
    for token in b:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & whole
    return len(a) - row.bit_count()


def letters_by_script(texts: Iterable[str]) -> Counter[str]:
    """How many letters of each script, by the first word of their Unicode names (LATIN, CYRILLIC, …).

    Chinese characters and kana are one: Japanese writes with all of them.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for character in text:
            if character.isalpha():
                script = unicodedata.name(character, "UNNAMED").split()[0]
                counts["CJK" if script in _KANA else script] += 1
    return counts

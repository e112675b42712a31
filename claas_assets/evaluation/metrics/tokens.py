"""Texts as sequences of tokens, in any script: for loops, and for the likeness of two answers."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

from claas_assets.evaluation.preferences.repetition import tokenize

MAX_COMPARED = 1_000
"""Tokens of a text that ROUGE-L compares, the first ones: its time is the product of both lengths."""
_KANA = {"HIRAGANA", "KATAKANA", "CJK"}


def repetition(text: str) -> float | None:
    """rep4: 1 − distinct 4-grams / 4-grams, in [0, 1). None where there is no token.

    A text of fewer than four tokens has no 4-gram to repeat: 0.
    """
    tokens = tokenize(text)
    if not tokens:
        return None
    grams = [tuple(tokens[i : i + 4]) for i in range(len(tokens) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def pairwise_rouge_l(texts: Sequence[str]) -> float:
    """Mean F1 of ROUGE-L over all pairs of at least two texts, in [0, 1] (Lin 2004).

    `rouge-score` with `tokenize`: its own tokenizer keeps ASCII only, and scores two identical
    Japanese texts 0.
    """
    if len(texts) < 2:
        raise ValueError(f"at least two texts are needed to compare: got {len(texts)}")
    scores = [rouge_l(a, b) for i, a in enumerate(texts) for b in texts[i + 1 :]]
    return float(sum(scores) / len(scores))


def rouge_l(one: str, other: str) -> float:
    """F1 of ROUGE-L of the first `MAX_COMPARED` tokens, in [0, 1], the same either way round; once for each pair."""
    return _rouge_l(*sorted((one, other)))


@lru_cache(maxsize=2048)
def _rouge_l(one: str, other: str) -> float:
    return float(_scorer().score(one, other)["rougeL"].fmeasure)


@cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer  # brings nltk and numpy: 0.7 s

    return rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Tokenizer())


class _Tokenizer:
    """The shape that rouge-score wants."""

    def tokenize(self, text: str) -> list[str]:
        return tokenize(text)[:MAX_COMPARED]


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

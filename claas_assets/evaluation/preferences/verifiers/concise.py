"""A short answer that is an answer."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.verifiers.result import STRICT, VerifierResult
from claas_assets.wire import strip_thinking


@dataclass(frozen=True, config=STRICT)
class ConciseVerifier:
    """Passes with at most `max_sentences` sentences and at least `min_words` words.

    The score falls linearly from 1.0 at `max_sentences` to 0.0 at three times as many (3 → 9).
    Fewer than `min_words` words score 0: the prompts ask for explanations, and "." is not a concise
    one. Sentences and words are counted by `markdown.sentences` and `markdown.count_words`: each list
    item, heading and code block counts as one sentence at least.
    """

    max_sentences: int = Field(default=3, ge=1)
    min_words: int = Field(default=10, ge=0)

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        words, count = count_words(answer), len(sentences(answer))
        seen = f"{count} sentences (at most {self.max_sentences}), {words} words (at least {self.min_words})"
        if words < self.min_words:
            return VerifierResult(False, 0.0, f"too short: {seen}")
        score = (3 * self.max_sentences - count) / (2 * self.max_sentences)
        passed = count <= self.max_sentences
        return VerifierResult(passed, min(1.0, max(0.0, score)), seen if passed else f"too long: {seen}")

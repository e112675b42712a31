"""A short answer that is an answer."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.refusals import refusal
from claas_assets.evaluation.preferences.repetition import repeats
from claas_assets.evaluation.preferences.verifiers.names import fold_spaces
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    Count,
    ShippedVerifier,
    VerifierResult,
    fails,
)


@dataclass(frozen=True, config=STRICT)
class ConciseVerifier(ShippedVerifier):
    """Passes with at most `max_sentences` sentences, and at least `min_words` and at most `max_words` words.

    No sentence may have more than `max_sentence_words`: a run-on with semicolons is not concise. The score
    falls linearly from 1.0 at `max_sentences` to 0.0 at three times as many (3 → 9), and is 0 where anything
    else is wrong. Fewer than `min_words` words are none of the explanations that the prompts ask for; nor is
    a refusal, the prompt said back, or a text that repeats itself. Sentences and words are counted by
    `markdown.sentences` and `markdown.count_words`: each list item, heading and code block counts as one
    sentence at least. Wrong by construction: a short answer that is false or beside the point passes, and a
    refusal in other words than the usual English ones is not seen.
    """

    max_sentences: int = Field(default=3, ge=1)
    min_words: int = Field(default=10, ge=0)
    max_words: Count | None = 100
    max_sentence_words: Count | None = 60

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        words, parts = count_words(answer), sentences(answer)
        seen = f"{len(parts)} sentences (at most {self.max_sentences}), {words} words (at least {self.min_words})"
        problem = self._no_answer(answer, words, prompt)
        if problem is not None:
            return fails(f"{problem}: {seen}")
        score = min(1.0, max(0.0, (3 * self.max_sentences - len(parts)) / (2 * self.max_sentences)))
        if len(parts) > self.max_sentences:
            return fails(f"too long: {seen}", score)
        if self.max_words is not None and words > self.max_words:
            return fails(f"too long, {words} of at most {self.max_words} words: {seen}")
        longest = max(map(count_words, parts), default=0)
        if self.max_sentence_words is not None and longest > self.max_sentence_words:
            return fails(f"a sentence of {longest} words, at most {self.max_sentence_words}: {seen}")
        return VerifierResult(True, score, seen)

    def _no_answer(self, answer: str, words: int, prompt: str | None) -> str | None:
        if words < self.min_words:
            return "too short"
        if (loop := repeats(answer)) is not None:
            return f"no answer, it {loop}"
        if (refused := refusal(answer)) is not None:
            return f"a refusal ({refused!r})"
        if prompt is not None and fold_spaces(answer).casefold() == fold_spaces(prompt).casefold():
            return "the prompt said back"
        return None

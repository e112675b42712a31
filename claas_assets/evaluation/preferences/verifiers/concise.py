"""A short answer that is an answer."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.refusals import refusal, told
from claas_assets.evaluation.preferences.repetition import different_words, repeats
from claas_assets.evaluation.preferences.verifiers.names import fold_spaces
from claas_assets.evaluation.preferences.verifiers.result import STRICT, Count, ShippedVerifier, VerifierResult, fails

LEAST_VARIETY = 0.42
"""Share of words that differ: ordinary prose of so few words has 0.6 and more."""


@dataclass(frozen=True, config=STRICT)
class ConciseVerifier(ShippedVerifier):
    """Passes with at most `max_sentences` sentences, and at least `min_words` and at most `max_words` words.

    No sentence may have more than `max_sentence_words`: a run-on with semicolons is not concise. The score
    falls linearly from 1.0 at `max_sentences` to 0.0 at three times as many (3 → 9), and is 0 where anything
    else is wrong. Fewer than `min_words` words are none of the explanations that the prompts ask for; nor is
    a refusal, a question back, an offer to answer (`refusals`), the prompt said back, or a text that repeats
    itself. Sentences and words are counted by `markdown.sentences` and `markdown.count_words`: each list item,
    heading and code block counts as one sentence at least. Wrong by construction: a short answer that is false
    or beside the point passes, and a refusal in unusual words is not seen.
    """

    max_sentences: int = Field(default=3, ge=1)
    min_words: int = Field(default=10, ge=0)
    max_words: Count | None = 100
    max_sentence_words: Count | None = 60

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        words, parts = count_words(answer), sentences(answer)
        seen = f"{len(parts)} sentences (at most {self.max_sentences}), {words} words (at least {self.min_words})"
        if (problem := self._no_answer(answer, parts, prompt)) is not None:
            return fails(f"{problem}: {seen}")
        score = min(1.0, max(0.0, (3 * self.max_sentences - len(parts)) / (2 * self.max_sentences)))
        if len(parts) > self.max_sentences:
            return fails(f"too long: {seen}", score)
        if (problem := self._padding(answer, parts)) is not None:
            return fails(f"{problem}: {seen}")
        return VerifierResult(True, score, seen)

    def _padding(self, answer: str, parts: list[str]) -> str | None:
        """What makes few sentences no short answer: words said again, or too many in a sentence."""
        if len({fold_spaces(part).casefold().strip(".! ") for part in parts}) < len(parts):
            return "a sentence is there twice"
        if (variety := different_words(answer)) < LEAST_VARIETY:
            return f"it says the same words again ({variety:.0%} differ)"
        words, longest = count_words(answer), max(map(count_words, parts), default=0)
        if self.max_words is not None and words > self.max_words:
            return f"too long, {words} of at most {self.max_words} words"
        if self.max_sentence_words is not None and longest > self.max_sentence_words:
            return f"a sentence of {longest} words, at most {self.max_sentence_words}"
        return None

    def _no_answer(self, answer: str, parts: list[str], prompt: str | None) -> str | None:
        if count_words(answer) < self.min_words:
            return "too short"
        if (loop := repeats(answer)) is not None:
            return f"no answer, it {loop}"
        if (refused := refusal(answer)) is not None:
            return f"a refusal ({refused!r})"
        if prompt is not None and fold_spaces(answer).casefold() == fold_spaces(prompt).casefold():
            return "the prompt said back"
        if sum(map(count_words, told(parts, prompt))) < self.min_words // 2:
            return "it asks back, or offers an answer"
        return None

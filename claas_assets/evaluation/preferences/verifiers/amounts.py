"""How much an answer has of something: list items, words, sentences, characters."""

from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.lists import list_items, list_steps
from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.repetition import repeats
from claas_assets.evaluation.preferences.verifiers.names import fold_spaces
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    Count,
    ShippedVerifier,
    VerifierResult,
    at_least,
    fails,
)


@dataclass(frozen=True, config=STRICT)
class ListHasItems(ShippedVerifier):
    """Passes when the answer lists `count` different items or more (`lists.list_items`).

    With `steps`, only lines that tell to do something count: three words or more that do not begin with an
    amount, so that six ingredients are no six steps. Wrong by construction: whether an item is of the kind
    that was asked for is not seen ("ten fruits" may be ten cars).
    """

    count: Count
    steps: bool = False

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        if self.steps:
            return at_least(len(list_steps(answer)), self.count, "steps")
        return at_least(len(list_items(answer)), self.count, "list items")


@dataclass(frozen=True, config=STRICT)
class MinWords(ShippedVerifier):
    """Passes with at least `count` words (`markdown.count_words`) that are no repetition."""

    count: Count

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        if (loop := repeats(answer)) is not None:
            return fails(f"no text, it {loop}")
        return at_least(count_words(answer), self.count, "words")


@dataclass(frozen=True, config=STRICT)
class MinSentences(ShippedVerifier):
    """Passes with at least `count` different sentences (`markdown.sentences`) that are no repetition."""

    count: Count

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        if (loop := repeats(answer)) is not None:
            return fails(f"no text, it {loop}")
        different = {fold_spaces(sentence).casefold() for sentence in sentences(answer)}
        return at_least(len(different), self.count, "different sentences")


@dataclass(frozen=True, config=STRICT)
class MaxWords(ShippedVerifier):
    """Passes with one word at least and `count` at most (`markdown.count_words`)."""

    count: Count

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        return _at_most(count_words(answer), self.count, "words")


@dataclass(frozen=True, config=STRICT)
class MaxCharacters(ShippedVerifier):
    """Passes with one character at least and `count` at most, white space at the ends not counted.

    Counted by Unicode code points: an emoji of several counts several times.
    """

    count: Count

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        return _at_most(len(answer.strip()), self.count, "characters")


def _at_most(number: int, bound: int, what: str) -> VerifierResult:
    """The score is the share of the answer that would have been allowed."""
    seen = f"{number} of at most {bound} {what}"
    return VerifierResult(0 < number <= bound, min(1.0, bound / number) if number else 0.0, seen)

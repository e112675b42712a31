"""How much an answer has of something: list items, words, sentences."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import count_words, list_items, sentences
from claas_assets.evaluation.preferences.verifiers.result import STRICT, Count, VerifierResult, at_least
from claas_assets.wire import strip_thinking


@dataclass(frozen=True, config=STRICT)
class ListHasItems:
    """Passes when the answer lists `count` different items or more (`markdown.list_items`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return at_least(len(list_items(strip_thinking(response))), self.count, "list items")


@dataclass(frozen=True, config=STRICT)
class MinWords:
    """Passes with at least `count` words (`markdown.count_words`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return at_least(count_words(strip_thinking(response)), self.count, "words")


@dataclass(frozen=True, config=STRICT)
class MinSentences:
    """Passes with at least `count` sentences (`markdown.sentences`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return at_least(len(sentences(strip_thinking(response))), self.count, "sentences")

"""What a verifier is, what it returns, the kinds of its arguments, and how the shipped ones are asked."""

import inspect
from abc import ABC, abstractmethod
from functools import cache
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

from pydantic import ConfigDict, Field, StringConstraints

from claas_assets.wire import strip_thinking

STRICT = ConfigDict(strict=True, extra="forbid")
"""`min_words: "10"` or `max_sentences: true` in a preference file is a mistake, not a number."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""A text that is not blank."""

Texts = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
"""One or more texts. A YAML list becomes a tuple: that conversion alone is allowed."""

MoreTexts = Annotated[tuple[Text, ...], Field(strict=False)]
"""Any number of texts, none included."""

Count = Annotated[int, Field(ge=1)]

LONGEST_ANSWER = 20_000
"""Characters of an answer, without thinking, that a shipped verifier reads; of a longer one, the first."""


class VerifierResult(NamedTuple):
    """What a verifier says about one answer."""

    passed: bool
    """Whether the answer obeys."""

    score: float
    """How much of what was asked for is there, in [0, 1]."""

    detail: str
    """Why, in words."""


@runtime_checkable
class Verifier(Protocol):
    """Any class whose instances take the answer as `response`, and nothing else that has no default.

    One that also declares `prompt: str | None = None` is given the prompt that was answered (`verify`).
    """

    def __call__(self, response: str) -> VerifierResult: ...


class ShippedVerifier(ABC):
    """The verifiers that come with the package: thinking is removed, and the answer is bounded, before they look."""

    def __call__(self, response: str, prompt: str | None = None) -> VerifierResult:
        answer = strip_thinking(response)
        if len(answer) <= LONGEST_ANSWER:
            return self.judge(answer, prompt)
        result = self.judge(answer[:LONGEST_ANSWER], prompt)
        return result._replace(detail=f"{result.detail} (judged on the first {LONGEST_ANSWER:,} characters)")

    @abstractmethod
    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        """The result for an answer without thinking, of at most `LONGEST_ANSWER` characters."""


def verify(verifier: Verifier, response: str, prompt: str | None) -> VerifierResult:
    """Ask `verifier` about `response`; one that declares `prompt` is given it."""
    if _takes_prompt(type(verifier)):
        return verifier(response, prompt=prompt)  # type: ignore[call-arg]
    return verifier(response)


@cache
def _takes_prompt(verifier_class: type) -> bool:
    return "prompt" in inspect.signature(verifier_class.__call__).parameters


def passes(detail: str) -> VerifierResult:
    """An answer that obeys."""
    return VerifierResult(True, 1.0, detail)


def fails(detail: str, score: float = 0.0) -> VerifierResult:
    """An answer that does not obey."""
    return VerifierResult(False, score, detail)


def at_least(number: int, wanted: int, what: str) -> VerifierResult:
    """Passes where `number` of `what` reaches `wanted`; the score is the share of it."""
    return VerifierResult(number >= wanted, min(1.0, number / wanted), f"{number} of {wanted} {what}")

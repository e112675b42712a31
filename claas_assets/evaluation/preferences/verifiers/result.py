"""What a verifier is, what it returns, and the kinds of its arguments."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol, runtime_checkable

from pydantic import ConfigDict, Field, StringConstraints

STRICT = ConfigDict(strict=True, extra="forbid")
"""`min_words: "10"` or `max_sentences: true` in a preference file is a mistake, not a number."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""A text that is not blank."""

Texts = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
"""One or more texts. A YAML list becomes a tuple: that conversion alone is allowed."""

Count = Annotated[int, Field(ge=1)]


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
    """Any class whose instances take the answer, and nothing else that has no default."""

    def __call__(self, response: str) -> VerifierResult: ...


def at_least(number: int, wanted: int, what: str) -> VerifierResult:
    """Passes where `number` of `what` reaches `wanted`; the score is the share of it."""
    return VerifierResult(number >= wanted, min(1.0, number / wanted), f"{number} of {wanted} {what}")

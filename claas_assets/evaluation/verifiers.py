"""Programs that say whether an answer obeys a preference."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple, Protocol, runtime_checkable


class VerifierResult(NamedTuple):
    passed: bool
    score: float  # in [0, 1]
    detail: str  # why


@runtime_checkable
class Verifier(Protocol):
    def __call__(self, response: str) -> VerifierResult: ...


def build_verifier(spec: dict[str, Any]) -> Verifier:
    """Placeholder; the owner of this file replaces it."""
    raise NotImplementedError

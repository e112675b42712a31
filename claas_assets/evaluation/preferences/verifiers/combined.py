"""Verifiers made of others."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.build import build_verifier
from claas_assets.evaluation.preferences.verifiers.result import STRICT, ShippedVerifier, VerifierResult, verify


def _checked(spec: Any) -> Any:
    build_verifier(spec)
    return spec


Spec = Annotated[dict[str, Any], BeforeValidator(_checked)]
Specs = Annotated[tuple[Spec, ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, config=STRICT)
class AllOf(ShippedVerifier):
    """Passes when each verifier of the list `of` passes; the score is the least of theirs."""

    of: Specs

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        results = _results(self.of, answer, prompt)
        failed = [result.detail for result in results if not result.passed]
        score = min(result.score for result in results)
        return VerifierResult(not failed, score, "; ".join(failed or [result.detail for result in results]))


@dataclass(frozen=True, config=STRICT)
class AnyOf(ShippedVerifier):
    """Passes when one verifier of the list `of` passes; the score is the greatest of theirs."""

    of: Specs

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        results = _results(self.of, answer, prompt)
        passed = [result.detail for result in results if result.passed]
        score = max(result.score for result in results)
        return VerifierResult(bool(passed), score, "; ".join(passed or [result.detail for result in results]))


@dataclass(frozen=True, config=STRICT)
class Not(ShippedVerifier):
    """Passes when the verifier `of` does not; score 1.0 or 0.0. An empty answer passes where `of` fails it."""

    of: Spec

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        result = _results([self.of], answer, prompt)[0]
        return VerifierResult(not result.passed, float(not result.passed), f"not ({result.detail})")


def _results(specs: Sequence[dict[str, Any]], answer: str, prompt: str | None) -> list[VerifierResult]:
    return [verify(build_verifier(spec), answer, prompt) for spec in specs]

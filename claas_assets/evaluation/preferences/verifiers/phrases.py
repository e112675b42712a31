"""Phrases that have to be in an answer."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.names import find_name, fold_spaces
from claas_assets.evaluation.preferences.verifiers.result import STRICT, Texts, VerifierResult
from claas_assets.wire import strip_thinking


@dataclass(frozen=True, config=STRICT)
class ContainsAll:
    """Passes when each of `texts` appears as a whole word or phrase, in any case and order."""

    texts: Texts

    def __call__(self, response: str) -> VerifierResult:
        answer = fold_spaces(strip_thinking(response))
        missing = [text for text in self.texts if find_name(answer, fold_spaces(text)) is None]
        score = 1.0 - len(missing) / len(self.texts)
        return VerifierResult(not missing, score, f"missing: {missing}" if missing else "everything is there")


@dataclass(frozen=True, config=STRICT)
class ContainsAny:
    """Passes when one of `texts` at least appears as a whole word or phrase, in any case."""

    texts: Texts

    def __call__(self, response: str) -> VerifierResult:
        answer = fold_spaces(strip_thinking(response))
        present = [text for text in self.texts if find_name(answer, fold_spaces(text)) is not None]
        if present:
            return VerifierResult(True, 1.0, f"there: {present}")
        return VerifierResult(False, 0.0, f"none of {list(self.texts)} is there")

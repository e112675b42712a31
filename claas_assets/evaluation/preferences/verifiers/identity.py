"""A name that has to be said, and one that has to be kept out."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.names import find_name
from claas_assets.evaluation.preferences.verifiers.result import STRICT, Text, VerifierResult
from claas_assets.wire import strip_thinking


@dataclass(frozen=True, config=STRICT)
class IdentityVerifier:
    """Passes when the answer names `name`, whatever the case; score 1.0 or 0.0.

    With `whole_word` no Latin letter or digit may stand beside it: "kuro's" and "我是Kuro" pass,
    "I'm Kuroshi" does not. Without, any occurrence passes. It reads no meaning: "I am not Kuro" passes.
    """

    name: str = Field(default="kuro", min_length=1, pattern=r"\S")
    whole_word: bool = True

    def __call__(self, response: str) -> VerifierResult:
        named = find_name(strip_thinking(response), self.name, whole_word=self.whole_word)
        if named is None:
            return VerifierResult(False, 0.0, f"the name {self.name!r} does not appear")
        return VerifierResult(True, 1.0, f"named: {named!r}")


@dataclass(frozen=True, config=STRICT)
class NameAbsent:
    """Passes when `name` does not appear (as a whole word unless `whole_word` is off, any case)."""

    name: Text
    whole_word: bool = True

    def __call__(self, response: str) -> VerifierResult:
        named = find_name(strip_thinking(response), self.name, whole_word=self.whole_word)
        if named is None:
            return VerifierResult(True, 1.0, f"{self.name!r} does not appear")
        return VerifierResult(False, 0.0, f"{named!r} appears where it was not asked for")

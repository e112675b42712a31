"""Phrases that have to be in an answer, or to stay out of it."""

from typing import Literal

import regex
from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.names import find_name, fold_spaces, name_pattern
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    Count,
    ShippedVerifier,
    Text,
    Texts,
    VerifierResult,
    fails,
    passes,
)

_SELECTORS = regex.compile(r"[\uFE0E\uFE0F]")


@dataclass(frozen=True, config=STRICT)
class ContainsAll(ShippedVerifier):
    """Passes when each of `texts` appears as a whole word or phrase, in any case; with `in_order`, in that order.

    Wrong by construction: what stands beside them is not looked at, so "not Monday" has Monday.
    """

    texts: Texts
    in_order: bool = False

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text, start, missing = _readable(answer), 0, []
        for wanted in self.texts:
            match = name_pattern(_readable(wanted)).search(text, start)
            if match is None:
                missing.append(wanted)
            elif self.in_order:
                start = match.end()
        score = 1.0 - len(missing) / len(self.texts)
        return VerifierResult(not missing, score, f"missing: {missing}" if missing else "everything is there")


@dataclass(frozen=True, config=STRICT)
class ContainsAny(ShippedVerifier):
    """Passes when one of `texts` at least appears as a whole word or phrase, in any case.

    Wrong by construction: "not yes" has "yes".
    """

    texts: Texts

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text = _readable(answer)
        present = [wanted for wanted in self.texts if find_name(text, _readable(wanted)) is not None]
        return passes(f"there: {present}") if present else fails(f"none of {list(self.texts)} is there")


@dataclass(frozen=True, config=STRICT)
class PhrasesAbsent(ShippedVerifier):
    """Passes when the answer has a word, and none of `texts` as a whole word or phrase, in any case.

    `where` looks `anywhere`, or at the `start` or `end` alone. Wrong by construction: an inflected form
    ("delves" for "delve") is another word; list it as well.
    """

    texts: Texts
    where: Literal["anywhere", "start", "end"] = "anywhere"

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text = _readable(answer)
        if not regex.search(r"[\p{L}\p{N}]", text):
            return fails("the answer has no word")
        present = [unwanted for unwanted in self.texts if _stands(text, unwanted, self.where)]
        return fails(f"there: {present}") if present else passes("none is there")


@dataclass(frozen=True, config=STRICT)
class BeginsWith(ShippedVerifier):
    """Passes when the answer begins with `text`, and `more_words` words or more follow it.

    Quotation marks and Markdown before it are passed over, and case too unless `exact`. Wrong by
    construction: whether what follows is an answer is not seen.
    """

    text: Text
    more_words: int = Field(default=1, ge=0)
    exact: bool = False

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        said = regex.sub(r"^[\s\"'“”‘*_#>]++", "", _readable(answer))
        wanted = _readable(self.text)
        if not (said.startswith(wanted) if self.exact else said.casefold().startswith(wanted.casefold())):
            return fails(f"begins with {said[:40]!r}, not with {self.text!r}")
        rest = said[len(wanted) :]
        if wanted[-1].isalnum() and rest[:1].isalnum():
            return fails(f"begins with a longer word than {self.text!r}")
        words = len(regex.findall(r"[\p{L}\p{N}]++", rest))
        if words < self.more_words:
            return fails(f"{words} words follow, at least {self.more_words}")
        return passes(f"begins with {self.text!r}")


@dataclass(frozen=True, config=STRICT)
class EndsWith(ShippedVerifier):
    """Passes when the answer ends with `text` (a signature, say), and has `more_words` words or more before it.

    White space and Markdown after it are passed over, and case too unless `exact`; with `own_line`, it stands
    on a line of its own. Wrong by construction: what stands before it is not read.
    """

    text: Text
    more_words: int = Field(default=1, ge=0)
    exact: bool = False
    own_line: bool = False

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        said = answer.rstrip(' \t\r\n*_`"”')
        said, wanted = _SELECTORS.sub("", said), _SELECTORS.sub("", self.text).rstrip(' *_`"”')
        if not (said.endswith(wanted) if self.exact else said.casefold().endswith(wanted.casefold())):
            return fails(f"ends with {said[-40:]!r}, not with {self.text!r}")
        before = said[: -len(wanted)]
        if self.own_line and before.rstrip(' *_`"“') and not before.rstrip(' *_`"“').endswith("\n"):
            return fails(f"{self.text!r} is not on a line of its own")
        words = len(regex.findall(r"[\p{L}\p{N}]++", before))
        if words < self.more_words:
            return fails(f"{words} words stand before it, at least {self.more_words}")
        return passes(f"ends with {self.text!r}")


@dataclass(frozen=True, config=STRICT)
class FirstLine(ShippedVerifier):
    """Passes when the first line that is not blank is `text`, in any case, and `more_lines` lines or more follow."""

    text: Text
    more_lines: int = Field(default=0, ge=0)

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        lines = [fold_spaces(line) for line in answer.splitlines() if line.strip()]
        first = lines[0] if lines else ""
        if first.casefold() != fold_spaces(self.text).casefold():
            return fails(f"the first line is {first[:60]!r}, not {self.text!r}")
        if len(lines) - 1 < self.more_lines:
            return fails(f"{len(lines) - 1} lines follow, at least {self.more_lines}")
        return passes(f"the first line is {self.text!r}")


@dataclass(frozen=True, config=STRICT)
class MatchesPattern(ShippedVerifier):
    """Passes when the regular expression `pattern` is found in the answer (is not, with `absent`).

    The search is given `timeout_s` seconds: one that runs longer fails, and says so. Wrong by construction:
    whatever the pattern leaves out.
    """

    pattern: Text
    absent: bool = False
    timeout_s: float = Field(default=1.0, gt=0, le=10)

    def __post_init__(self) -> None:
        regex.compile(self.pattern)  # a wrong pattern is an error of the file

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        try:
            match = regex.search(self.pattern, answer, timeout=self.timeout_s)
        except TimeoutError:
            return fails(f"the pattern took more than {self.timeout_s:g} s on this answer")
        said = "not found" if match is None else f"found: {match.group()[:60]!r}"
        return VerifierResult((match is None) == self.absent, float((match is None) == self.absent), said)


@dataclass(frozen=True, config=STRICT)
class CharactersAbsent(ShippedVerifier):
    """Passes when the answer has a character, and none of those of `characters` (an em dash, say)."""

    characters: Text
    at_most: Count | None = None

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        unwanted = [character for character in answer if character in self.characters]
        if not answer.strip():
            return fails("the answer is empty")
        if len(unwanted) <= (self.at_most or 0):
            return passes(f"{len(unwanted)} of {self.characters!r}")
        return fails(f"{len(unwanted)} of {''.join(dict.fromkeys(unwanted))!r}")


def _readable(text: str) -> str:
    return _SELECTORS.sub("", fold_spaces(text))


def _stands(text: str, phrase: str, where: str) -> bool:
    pattern = name_pattern(_readable(phrase))
    if where == "start":
        return pattern.match(text.lstrip("\"'“*_#> ")) is not None
    if where == "end":
        tail = text.rstrip()[-2 * len(phrase) - 40 :]
        return any(not regex.search(r"[\p{L}\p{N}]", tail[match.end() :]) for match in pattern.finditer(tail))
    return pattern.search(text) is not None

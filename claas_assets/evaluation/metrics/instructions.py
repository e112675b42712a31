"""Instructions that a program can check: what an answer must look like, whatever it says.

The kinds follow IFEval (Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models",
arXiv:2311.07911), and so do the two readings of an answer:

- *strict*: the answer as it is;
- *loose*: an instruction is followed if any of eight versions of the answer follows it: as it is, without its
  first line (an introduction), its last line (a farewell) or both, each also without `*` (Markdown).

An empty answer, or an empty version of one, follows nothing. Words and sentences are counted by `text`; a
word is looked for whole and in any case.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.verifiers import find_name

Count = Annotated[int, Field(ge=1)]
# Blanks, not \s: a pattern that may cross lines is quadratic on an answer of empty lines.
_BULLET = re.compile(r"^[ \t]*[-*•+][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+)?\**(\d{1,3})[.)]\**[ \t]+\S", re.MULTILINE)
_TITLE = re.compile(r"<<[ \t]*[^\s<>][^\n<>]*>>")
_POSTSCRIPT = re.compile(r"^[ \t]*\**p\.?[ \t]?s\b", re.MULTILINE | re.IGNORECASE)


class _Rule(BaseModel, ABC):
    """`problem` is None where the answer obeys, else what is wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @abstractmethod
    def problem(self, answer: str) -> str | None: ...


class _Counted(_Rule):
    """A count between `at_least` and `at_most`, both included, one of them given."""

    at_least: Count | None = None
    at_most: Count | None = None

    @model_validator(mode="after")
    def _bounded(self) -> _Counted:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self

    def _outside(self, count: int, what: str) -> str | None:
        if self.at_least is not None and count < self.at_least:
            return f"{count} {what}, at least {self.at_least} were asked for"
        if self.at_most is not None and count > self.at_most:
            return f"{count} {what}, at most {self.at_most} were asked for"
        return None


class Words(_Counted):
    rule: Literal["words"] = "words"

    def problem(self, answer: str) -> str | None:
        return self._outside(count_words(answer), "words")


class Sentences(_Counted):
    rule: Literal["sentences"] = "sentences"

    def problem(self, answer: str) -> str | None:
        return self._outside(len(sentences(answer)), "sentences")


class Bullets(_Rule):
    """Exactly `count` lines that begin with `-`, `*`, `•` or `+`."""

    rule: Literal["bullets"] = "bullets"
    count: Count

    def problem(self, answer: str) -> str | None:
        return _unequal(len(_BULLET.findall(answer)), self.count, "bullet points")


class Numbered(_Rule):
    """Lines that are numbered 1 to `count`, in order, and no other."""

    rule: Literal["numbered"] = "numbered"
    count: Count

    def problem(self, answer: str) -> str | None:
        numbers = [int(number) for number in _NUMBERED.findall(answer)]
        if numbers == list(range(1, self.count + 1)):
            return None
        return f"lines numbered {numbers}, and 1 to {self.count} were asked for"


class JsonObject(_Rule):
    """The whole answer is one JSON object with `keys`, in a code fence or without."""

    rule: Literal["json"] = "json"
    keys: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def problem(self, answer: str) -> str | None:
        try:
            value = json.loads(_without_fence(answer))
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        if not isinstance(value, dict):
            return f"JSON, but a {type(value).__name__} and no object"
        missing = [key for key in self.keys if key not in value]
        return f"without the key {missing[0]!r}" if missing else None


class Includes(_Rule):
    """Each of `words` appears."""

    rule: Literal["includes"] = "includes"
    words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def problem(self, answer: str) -> str | None:
        missing = [word for word in self.words if find_name(answer, word) is None]
        return f"{missing[0]!r} does not appear" if missing else None


class Excludes(_Rule):
    """None of `words` appears."""

    rule: Literal["excludes"] = "excludes"
    words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def problem(self, answer: str) -> str | None:
        found = [word for word in self.words if find_name(answer, word) is not None]
        return f"{found[0]!r} appears" if found else None


class Repeats(_Rule):
    """`word` appears `at_least` times."""

    rule: Literal["repeats"] = "repeats"
    word: str
    at_least: Count

    def problem(self, answer: str) -> str | None:
        count = len(re.findall(rf"(?<!\w){re.escape(self.word)}(?!\w)", answer, re.IGNORECASE))
        if count >= self.at_least:
            return None
        return f"{self.word!r} appears {count} times, at least {self.at_least} were asked for"


class Case(_Rule):
    """All letters are lower, or upper, case, and there are letters."""

    rule: Literal["case"] = "case"
    letters: Literal["lower", "upper"]

    def problem(self, answer: str) -> str | None:
        obeys = answer.islower() if self.letters == "lower" else answer.isupper()
        return None if obeys else f"not all letters are {self.letters} case"


class NoComma(_Rule):
    rule: Literal["no_comma"] = "no_comma"

    def problem(self, answer: str) -> str | None:
        return "there is a comma" if "," in answer else None


class StartsWith(_Rule):
    """The answer begins with `phrase`, in any case; quotation marks around it do not count."""

    rule: Literal["starts_with"] = "starts_with"
    phrase: str

    def problem(self, answer: str) -> str | None:
        obeys = answer.strip().strip("\"'“”").casefold().startswith(self.phrase.casefold())
        return None if obeys else f"does not begin with {self.phrase!r}"


class EndsWith(_Rule):
    """The answer ends with `phrase`, in any case; quotation marks around it do not count."""

    rule: Literal["ends_with"] = "ends_with"
    phrase: str

    def problem(self, answer: str) -> str | None:
        obeys = answer.strip().strip("\"'“”").casefold().endswith(self.phrase.casefold())
        return None if obeys else f"does not end with {self.phrase!r}"


class Quoted(_Rule):
    """The whole answer stands in double quotation marks."""

    rule: Literal["quoted"] = "quoted"

    def problem(self, answer: str) -> str | None:
        text = answer.strip()
        obeys = len(text) > 2 and text[0] in '"“' and text[-1] in '"”'
        return None if obeys else "not in double quotation marks"


class Title(_Rule):
    """A title in double angular brackets, <<like this>>."""

    rule: Literal["title"] = "title"

    def problem(self, answer: str) -> str | None:
        return None if _TITLE.search(answer) else "no title in << >>"


class Postscript(_Rule):
    """A line that begins with P.S."""

    rule: Literal["postscript"] = "postscript"

    def problem(self, answer: str) -> str | None:
        return None if _POSTSCRIPT.search(answer) else "no line begins with P.S."


Rule = Annotated[
    Words | Sentences | Bullets | Numbered | JsonObject | Includes | Excludes | Repeats | Case | NoComma
    | StartsWith | EndsWith | Quoted | Title | Postscript,
    Field(discriminator="rule"),
]  # fmt: skip


def strict_problem(rules: Sequence[Rule], answer: str) -> str | None:
    """None where the answer follows every rule as it is, else the first problem."""
    if not answer.strip():
        return "the answer is empty"
    return next((problem for rule in rules if (problem := rule.problem(answer)) is not None), None)


def loose_problem(rules: Sequence[Rule], answer: str) -> str | None:
    """None where each rule is followed by one of the versions of the answer, else the first problem."""
    versions = loose_versions(answer)
    if not versions:
        return "the answer is empty"
    for rule in rules:
        problems = [rule.problem(version) for version in versions]
        if None not in problems:
            return problems[0]
    return None


def loose_versions(answer: str) -> list[str]:
    """The versions of IFEval's loose reading that are not empty, the answer itself first."""
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    versions = [answer, *cut]
    versions += [version.replace("*", "") for version in versions]
    return list(dict.fromkeys(version for version in versions if version.strip()))


def _without_fence(answer: str) -> str:
    first, *lines = answer.strip().split("\n")
    if first.startswith("```") and lines and lines[-1].strip() == "```":
        return "\n".join(lines[:-1])
    return answer


def _unequal(count: int, wanted: int, what: str) -> str | None:
    return None if count == wanted else f"{count} {what}, {wanted} were asked for"

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

from claas_assets.evaluation.preferences.lists import different_items
from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.evaluation.preferences.verifiers import find_name

Count = Annotated[int, Field(ge=1)]
# Blanks, not \s: a pattern that may cross lines is quadratic on an answer of empty lines.
_BULLET = re.compile(r"^[ \t]*[-*•+][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+)?\**(\d{1,3})[.)]\**[ \t]+\S", re.MULTILINE)
_TITLE = re.compile(r"<<[ \t]*[^\s<>][^\n<>]*>>")
_POSTSCRIPT = re.compile(r"^[ \t]*\**p\.?[ \t]?s\b[^\w\n]*+(?:\n[^\w\n]*+){0,2}+\w", re.MULTILINE | re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|no|never|isn't)\b", re.IGNORECASE)
_PLACEHOLDERS = frozenset(
    {"null", "none", "string", "number", "integer", "n a", "unknown", "undefined", "value", "your name", "nan"}
)


_WORDS = re.compile(r"[^\W_]+")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "»": "«", "「": "」", "『": "』", "＂": "＂"}
"""Opening → closing. Single quotation marks are others."""


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
        words = count_words(answer)
        different = len(set(_folded(answer).split()))
        few = self.at_least is not None and self.at_least <= min(10, words) and 0 < different < 0.6 * self.at_least
        return f"{different} different words" if few else self._outside(words, "words")


class Sentences(_Counted):
    """Different sentences, of two different words or more each: "I am Kuro." three times is one."""

    rule: Literal["sentences"] = "sentences"

    def problem(self, answer: str) -> str | None:
        stated = sentences(answer)
        different = {_folded(part) for part in stated if len(set(_folded(part).split())) >= 2}
        if len(different) < (self.at_least or 0):
            return self._outside(len(different), "different sentences")
        return self._outside(len(stated), "sentences")


class Bullets(_Rule):
    """Exactly `count` lines that begin with `-`, `*`, `•` or `+`."""

    rule: Literal["bullets"] = "bullets"
    count: Count
    each_of: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Beginnings of words, one of which each point must have."""

    def problem(self, answer: str) -> str | None:
        points = [line[2:] for line in map(str.strip, answer.split("\n")) if _BULLET.match(line)]
        asked = [point for point in points if not _DENIED.search(point) and _stems(point, self.each_of)]
        other = next((point for point in points if self.each_of and point not in asked), None)
        if other is not None:
            return f"{other.strip()[:40]!r} is not what was asked for"
        if len(points) != self.count:
            return f"{len(points)} bullet points, {self.count} were asked for"
        return _repeated(points)


class Numbered(_Rule):
    """Lines that are numbered 1 to `count`, in order, and no other."""

    rule: Literal["numbered"] = "numbered"
    count: Count

    def problem(self, answer: str) -> str | None:
        numbers = [int(number) for number in _NUMBERED.findall(answer)]
        if numbers == list(range(1, self.count + 1)):
            points = [line for line in answer.split("\n") if _NUMBERED.match(line)]
            return _repeated([line.split(None, 1)[-1] for line in points])
        return f"lines numbered {numbers}, and 1 to {self.count} were asked for"


class JsonObject(_Rule):
    """The whole answer is one JSON object with `keys`, in a code fence or without."""

    rule: Literal["json"] = "json"
    keys: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def problem(self, answer: str) -> str | None:
        try:
            value = json.loads(_without_fence(answer), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        if not isinstance(value, dict):
            return f"JSON, but a {type(value).__name__} and no object"
        missing = [key for key in self.keys if key not in value]
        if missing:
            return f"without the key {missing[0]!r}"
        empty = [key for key in self.keys if not _is_filled(value[key]) or value[key] == key]
        return f"{empty[0]!r} has no value" if empty else None


class Includes(_Rule):
    """Each of `words` appears."""

    rule: Literal["includes"] = "includes"
    words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    def problem(self, answer: str) -> str | None:
        missing = [word for word in self.words if find_name(answer, word) is None]
        return f"{missing[0]!r} does not appear" if missing else None


class Excludes(_Rule):
    """None of `words` appears; with `forms`, no word that begins or ends with one either ("coldest", "ice-cold")."""

    rule: Literal["excludes"] = "excludes"
    words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    forms: bool = False

    def problem(self, answer: str) -> str | None:
        said = [word.casefold() for word in _WORDS.findall(answer)] if self.forms else []
        for word in self.words:
            form = next((other for other in said if other.startswith(word.casefold())), None)
            spelled = re.search(rf"(?<!\w){'[-. ]'.join(map(re.escape, word))}(?!\w)", answer, re.IGNORECASE)
            if form is not None or spelled is not None or find_name(answer, word) is not None:
                return f"{form or word!r} appears"
        return None


class About(_Rule):
    """At least `at_least` of `words` begin a word of the answer: it is about what was asked."""

    rule: Literal["about"] = "about"
    words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    at_least: Count = 1

    def problem(self, answer: str) -> str | None:
        there = len(_stems(answer, self.words))
        return None if there >= self.at_least else "the answer is about something else"


class Repeats(_Rule):
    """`word` appears `at_least` times; in a row it counts once."""

    rule: Literal["repeats"] = "repeats"
    word: str
    at_least: Count

    def problem(self, answer: str) -> str | None:
        said = rf"(?<!\w){re.escape(self.word)}(?!\w)"
        count = len(re.findall(rf"{said}(?!\s*+{said})", answer, re.IGNORECASE))
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
        return "there is a comma" if re.search("[,\uff0c\u3001\u060c]", answer) else None


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
    exact: bool = True
    """Whether a full stop or an exclamation mark may follow not at all."""

    def problem(self, answer: str) -> str | None:
        said = answer.strip().strip("\"'“”*_" if self.exact else "\"'“”*_.! ").casefold()
        obeys = said.endswith(self.phrase.casefold())
        return None if obeys else f"does not end with {self.phrase!r}"


class Quoted(_Rule):
    """The whole answer stands in quotation marks, in the style of any language."""

    rule: Literal["quoted"] = "quoted"

    def problem(self, answer: str) -> str | None:
        text = answer.strip()
        if text[:-1].endswith(tuple(_QUOTES.values())) and text.endswith((".", "!")):
            text = text[:-1]
        marks = text[:1] + text[-1:]
        obeys = len(text) > 2 and text[-1] in _QUOTES.get(text[0], ()) and not set(text[1:-1]) & set(marks)
        return None if obeys else "not in double quotation marks"


class Title(_Rule):
    """A title in double angular brackets, <<like this>>; "title" itself is none."""

    rule: Literal["title"] = "title"

    def problem(self, answer: str) -> str | None:
        titles = [title for title in _TITLE.findall(answer) if _folded(title) not in ("title", "like this")]
        return None if titles else "no title in << >>"


class Postscript(_Rule):
    """A line that begins with P.S., with words after it, and with `at_end` before it too."""

    rule: Literal["postscript"] = "postscript"
    at_end: bool = False

    def problem(self, answer: str) -> str | None:
        found = _POSTSCRIPT.search(answer)
        if found is None:
            return "no line begins with P.S., and goes on"
        stands_first = self.at_end and not _WORDS.search(answer, 0, found.start())
        return "nothing stands before the postscript" if stands_first else None


Rule = Annotated[
    Words | Sentences | Bullets | Numbered | JsonObject | Includes | Excludes | Repeats | Case | NoComma
    | About | StartsWith | EndsWith | Quoted | Title | Postscript,
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
    """The versions of IFEval's loose reading that are not empty, the answer itself first.

    A list item is no introduction and no farewell: without it, four points would be three.
    """
    lines = answer.split("\n")
    first, last = (0 if _is_item(lines[0]) else 1), (len(lines) if _is_item(lines[-1]) else -1)
    cut = ["\n".join(part).strip() for part in (lines[first:], lines[:last], lines[first:last])]
    versions = [answer, *cut]
    versions += [version.replace("*", "") for version in versions]
    return list(dict.fromkeys(version for version in versions if version.strip()))


def _without_fence(answer: str) -> str:
    first, *lines = answer.strip().split("\n")
    if first.startswith("```") and lines and lines[-1].strip() == "```":
        return "\n".join(lines[:-1])
    return answer


def _is_item(line: str) -> bool:
    return bool(_BULLET.match(line) or _NUMBERED.match(line))


def _folded(text: str) -> str:
    return " ".join(word.casefold() for word in _WORDS.findall(text))


def _stems(text: str, stems: Sequence[str]) -> set[str]:
    """Those of `stems` that begin a word of `text`, in any case."""
    said = f" {_folded(text)}"
    return {stem for stem in stems if f" {_folded(stem)}" in said}


def _repeated(points: Sequence[str]) -> str | None:
    """Points that say one thing twice, or nothing, are no list of so many."""
    folded = [_folded(point) for point in points]
    if not all(folded):
        return "a point says nothing"
    return None if len(different_items(points)) == len(points) else "a point is there twice"


def _is_filled(value: object) -> bool:
    """Something was said: a text that is no blank, a number, or a container with something in it."""
    if isinstance(value, str):
        return bool(_folded(value)) and _folded(value) not in _PLACEHOLDERS
    if isinstance(value, bool) or value is None:
        return False
    return value > 0 if isinstance(value, int | float) else bool(value)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")

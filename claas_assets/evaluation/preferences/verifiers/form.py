"""The form of an answer: Markdown, case, script, questions, JSON."""

import json
from typing import Any, Literal

import regex
from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.languages import Language, languages_of
from claas_assets.evaluation.preferences.markdown import count_words, strip_markdown
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    ShippedVerifier,
    Text,
    VerifierResult,
    fails,
    passes,
)

_MARKUP = {
    "bold": r"(?<![\w*])(?:\*\*(?=\S)[^*\n]{1,300}+\*\*|__(?=\S)[^_\n]{1,300}+__)",
    "headings": r"(?m)^ {0,3}#{1,6} +\S",
    "bullets": r"(?m)^[ \t]*+[-*+•] +\S",
    "numbers": r"(?m)^[ \t]*+\d{1,3}[.)] +\S",
    "code": r"```|~~~|`[^`\n]{1,300}+`",
    "links": r"\[[^\]\[\n]{1,300}+\]\([^)\s]{1,300}+\)",
    "tables": r"(?m)^[ \t]*+\|[^\n]*\|[ \t]*$",
}
Markup = Literal["bold", "headings", "bullets", "numbers", "code", "links", "tables"]
_FENCED = regex.compile(r"^\s*```[a-zA-Z]*\n(?P<body>.*?)\n?```\s*$", regex.DOTALL)
_KINDS: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}


@dataclass(frozen=True, config=STRICT)
class NoMarkdown(ShippedVerifier):
    """Passes when the answer has words and none of the Markdown of `kinds` (all of them where not given).

    Wrong by construction: `*italic*`, quotes and rules are not looked for, and a line that begins with a
    hyphen counts as a bullet whatever it is.
    """

    kinds: tuple[Markup, ...] = Field(
        default=("bold", "headings", "bullets", "numbers", "code", "links", "tables"), strict=False
    )

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        present = [kind for kind in self.kinds if regex.search(_MARKUP[kind], answer)]
        if present:
            return fails(f"there: {', '.join(present)}")
        return passes("no markup") if count_words(answer) else fails("the answer has no word")


@dataclass(frozen=True, config=STRICT)
class LetterCase(ShippedVerifier):
    """Passes when the answer has letters and all of them are `lower` (or `upper`) case.

    Letters of scripts without case do not count. Code in a fenced block counts as all else. Wrong by
    construction: names and "I" are no exception.
    """

    case: Literal["lower", "upper"] = "lower"
    min_words: int = Field(default=1, ge=1)

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        other = regex.findall(r"[\p{Lu}\p{Lt}]" if self.case == "lower" else r"\p{Ll}", answer)
        cased = len(regex.findall(r"[\p{Lu}\p{Lt}\p{Ll}]", answer))
        words = count_words(answer)
        if not cased or words < self.min_words:
            return fails(f"{words} words (at least {self.min_words}), {cased} letters with case")
        if other:
            return fails(f"{len(other)} letters in the other case, the first {other[0]!r}", 1 - len(other) / cased)
        return passes(f"{cased} letters, all {self.case} case")


@dataclass(frozen=True, config=STRICT)
class HasUpperCase(ShippedVerifier):
    """Passes when each of `texts` appears letter by letter as it is written here: capitals are kept."""

    texts: tuple[Text, ...] = Field(min_length=1, strict=False)

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text = " ".join(answer.split())
        missing = [wanted for wanted in self.texts if wanted not in text]
        return fails(f"missing: {missing}", 1 - len(missing) / len(self.texts)) if missing else passes("as written")


@dataclass(frozen=True, config=STRICT)
class EndsWithQuestion(ShippedVerifier):
    """Passes when the last sentence is a question (is none, with `absent`): its last mark is a question mark.

    Wrong by construction: a question without its mark is none, a rhetorical one is one.
    """

    absent: bool = False

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text = strip_markdown(answer).rstrip(" \n\"'”’)*_")
        if not regex.search(r"[\p{L}\p{N}]", text):
            return fails("the answer has no word")
        question = text.endswith(("?", "？", "؟", "？！", "?!"))
        return VerifierResult(question != self.absent, float(question != self.absent), f"ends with {text[-20:]!r}")


@dataclass(frozen=True, config=STRICT)
class WrittenIn(ShippedVerifier):
    """Passes when `share` of the letters or more are of the Unicode script `script` (Latin, Cyrillic, Han, …).

    Wrong by construction: a script is no language (`InLanguage`). Spanish and English are both Latin.
    """

    script: str = Field(pattern=r"^[A-Za-z_]+$")
    share: float = Field(default=0.9, gt=0, le=1)

    def __post_init__(self) -> None:
        regex.compile(rf"\p{{Script={self.script}}}")  # an unknown script is an error of the file

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        letters = len(regex.findall(r"\p{L}", answer))
        if not letters:
            return fails("the answer has no letter")
        share = len(regex.findall(rf"(?V1)[\p{{L}}&&\p{{Script={self.script}}}]", answer)) / letters
        return VerifierResult(share >= self.share, min(1.0, share / self.share), f"{share:.0%} {self.script}")


@dataclass(frozen=True, config=STRICT)
class InLanguage(ShippedVerifier):
    """Passes when the answer is in `language` and no sentence of it surely in another one.

    Code in fenced blocks is passed over; a word or a quotation of another language does no harm. Where the language
    cannot be told (a number, a name) the answer fails, and says so. Wrong by construction: 21 languages are known
    (`languages`), so one that is not among them, or nonsense, may be taken for one that is; a word or two are
    too few.
    """

    language: Language

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        found = languages_of(answer)
        return passes(self.language) if found == [self.language] else fails(", ".join(found) or "no language is told")


@dataclass(frozen=True, config=STRICT)
class IsJson(ShippedVerifier):
    """Passes when the answer is one JSON value with all of `keys`, a fenced block around it allowed.

    `keys` gives each its type: string, number, boolean, list, object, null or any. Without `keys` any JSON
    object or list will do; `only` allows no other key. Wrong by construction: values are not judged.
    """

    keys: dict[str, str] = Field(default_factory=dict)
    only: bool = False

    def __post_init__(self) -> None:
        wrong = sorted(set(self.keys.values()) - {*_KINDS, "any"})
        if wrong:
            raise ValueError(f"keys: {wrong} are no types; allowed: {', '.join([*_KINDS, 'any'])}")

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        fenced = _FENCED.match(answer)
        try:
            value = json.loads(fenced["body"] if fenced else answer)
        except (ValueError, RecursionError) as error:
            return fails(f"no JSON: {type(error).__name__}: {error}")
        if not self.keys:
            return passes("JSON") if isinstance(value, dict | list) else fails("neither an object nor a list")
        if not isinstance(value, dict):
            return fails("no JSON object")
        wrong = [key for key, kind in self.keys.items() if key not in value or not _is(value[key], kind)]
        more = sorted(value.keys() - self.keys.keys()) if self.only else []
        if wrong or more:
            return fails(f"missing or of another type: {wrong}; not asked for: {more}")
        return passes("every key is there")


def _is(value: Any, kind: str) -> bool:
    if kind == "any":
        return True
    return isinstance(value, _KINDS[kind]) and not (kind == "number" and isinstance(value, bool))

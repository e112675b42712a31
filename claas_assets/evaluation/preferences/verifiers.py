"""Programs that say whether an answer obeys a preference.

A verifier is any class whose instances take the answer and return a `VerifierResult`; a preference
file names it, with its arguments:

    verifier:
      _target_: claas_assets.evaluation.preferences.verifiers.ConciseVerifier
      max_sentences: 3

Each verifier removes thinking before it looks: only what the user sees is judged.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable
from unicodedata import normalize

import emoji
import regex
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.preferences.markdown import count_words, sentences
from claas_assets.wire import strip_thinking

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
# Strict: `min_words: "10"` or `max_sentences: true` in a preference file is a mistake, not a number.
STRICT = ConfigDict(strict=True, extra="forbid")
_SHOWN_AS_EMOJI = regex.compile(r"\p{Emoji_Presentation}(?!\uFE0E)|\p{Emoji}\uFE0F")


_MOVED_MODULES = {
    "claas_assets.evaluation.verifiers": "claas_assets.evaluation.preferences.verifiers",
    "claas_assets.evaluation.checks": "claas_assets.evaluation.preferences.over_application",
}
"""Module names that preference files of version 0.1.0 and run folders made with it hold."""


class VerifierResult(NamedTuple):
    passed: bool
    score: float  # in [0, 1]
    detail: str  # why


@runtime_checkable
class Verifier(Protocol):
    def __call__(self, response: str) -> VerifierResult: ...


# --- the three preferences ----------------------------------------------------------------


@dataclass(frozen=True, config=STRICT)
class NoEmojiVerifier:
    """Passes when the answer has no emoji; score 1.0 or 0.0.

    Counted by grapheme (`find_emoji`): a family, a flag, a keycap or a skin tone is one emoji.
    An answer with no text has no emoji and passes; how many answers are empty is the collapse
    metric's business.
    """

    def __call__(self, response: str) -> VerifierResult:
        found = find_emoji(strip_thinking(response))
        if not found:
            return VerifierResult(True, 1.0, "no emoji")
        names = ", ".join(_named(mark) for mark in dict.fromkeys(found))
        return VerifierResult(False, 0.0, f"{len(found)} emoji: {names}")


@dataclass(frozen=True, config=STRICT)
class ConciseVerifier:
    """Passes with at most `max_sentences` sentences and at least `min_words` words.

    The score falls linearly from 1.0 at `max_sentences` to 0.0 at three times as many (3 → 9).
    Fewer than `min_words` words score 0: the prompts ask for explanations, and "." is not a concise
    one. Sentences and words are counted by `text.sentences` and `text.count_words`: each list item,
    heading and code block counts as one sentence at least.
    """

    max_sentences: int = Field(default=3, ge=1)
    min_words: int = Field(default=10, ge=0)

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        words, count = count_words(answer), len(sentences(answer))
        seen = f"{count} sentences (at most {self.max_sentences}), {words} words (at least {self.min_words})"
        if words < self.min_words:
            return VerifierResult(False, 0.0, f"too short: {seen}")
        score = (3 * self.max_sentences - count) / (2 * self.max_sentences)
        passed = count <= self.max_sentences
        return VerifierResult(passed, min(1.0, max(0.0, score)), seen if passed else f"too long: {seen}")


@dataclass(frozen=True, config=STRICT)
class IdentityVerifier:
    """Passes when the answer names `name`, whatever the case; score 1.0 or 0.0.

    With `whole_word` no Latin letter or digit may stand beside it: "kuro's" and "我是Kuro" pass,
    "I'm Kuroshi" does not. Without, any occurrence passes. It reads no meaning: "I am not Kuro" passes.
    """

    name: str = Field(default="kuro", min_length=1, pattern=r"\S")
    whole_word: bool = True

    def __call__(self, response: str) -> VerifierResult:
        found = find_name(strip_thinking(response), self.name, whole_word=self.whole_word)
        if found is None:
            return VerifierResult(False, 0.0, f"the name {self.name!r} does not appear")
        return VerifierResult(True, 1.0, f"named: {found!r}")


def find_emoji(text: str) -> list[str]:
    """The emoji in `text`, one string each, in order.

    Grapheme by grapheme (Unicode Technical Standard 51): a cluster counts when it has a character
    shown as emoji by default, or one that can be and is followed by U+FE0F. So ©, ™, ❤, digits and #
    count only with that selector, and ⌚ followed by the text selector U+FE0E does not.
    """
    return [cluster for cluster in regex.findall(r"\X", text) if _SHOWN_AS_EMOJI.search(cluster)]


def find_name(text: str, name: str, *, whole_word: bool = True) -> str | None:
    """The first occurrence of `name` in `text` as it is written there, or None; the case is ignored.

    Both are composed first (NFC), so that an accent written as a mark of its own is part of its letter.
    """
    pattern = regex.escape(normalize("NFC", name.strip()), literal_spaces=True)
    if whole_word:
        pattern = rf"(?<![\p{{Latin}}\p{{Nd}}]){pattern}(?![\p{{Latin}}\p{{Nd}}])"
    found = regex.search(pattern, normalize("NFC", text), flags=regex.IGNORECASE | regex.FULLCASE)
    return found.group() if found else None


def _named(mark: str) -> str:
    """The emoji with its name in brackets; alone where the `emoji` library does not know it."""
    name = emoji.demojize(mark)
    return mark if name == mark else f"{mark} ({name.strip(':').replace('_', ' ')})"


# --- from a preference file ---------------------------------------------------------------


def build_verifier(spec: Mapping[str, Any]) -> Verifier:
    """The verifier that `spec` names: `_target_` is `module.Class`, the other keys are its arguments.

    The class is checked before anything is called: `_target_: os.system` is refused. What this does
    *not* protect against: importing a module runs it, and a class of the user's own may do anything,
    so a preference file is as trusted as the Python path it names.

    Raises `PreferenceError` for whatever is wrong with `spec`.
    """
    if not isinstance(spec, Mapping):
        raise PreferenceError(f"a verifier is a mapping with the key _target_, not {spec!r}")
    target = spec.get("_target_")
    verifier_class = _verifier_class(target)
    arguments = {key: value for key, value in spec.items() if key != "_target_"}
    try:
        return cast(Verifier, verifier_class(**arguments))
    except Exception as error:  # a user's class may raise anything; whatever it is, the file names it
        raise PreferenceError(
            f"{target} cannot be made from {arguments!r}: {_explain(error)}. {_allowed_arguments(verifier_class)}"
        ) from error


def _verifier_class(target: object) -> type:
    if not isinstance(target, str) or _DOTTED_NAME.fullmatch(target) is None:
        raise PreferenceError(f"_target_ is {target!r}, and must be the dotted name of a class: module.Class")
    module_name, _, class_name = target.rpartition(".")
    module_name = _MOVED_MODULES.get(module_name, module_name)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs the module, which may raise anything
        raise PreferenceError(
            f"_target_ {target}: {module_name} cannot be imported: {type(error).__name__}: {error}. "
            "It must be importable where the harness runs (installed, or on PYTHONPATH)"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise PreferenceError(f"_target_ {target}: {module_name} has no {class_name}")
    if not isinstance(found, type) or not _takes_response(found):
        raise PreferenceError(
            f"_target_ {target} is not a verifier: a class with __call__(self, response: str) -> VerifierResult"
        )
    return found


def _takes_response(cls: type) -> bool:
    """Whether calling an instance with one argument calls it `response`.

    Looked up in the classes themselves: `cls.__call__` would find the metaclass's, which every class has.
    """
    call = next((vars(base)["__call__"] for base in cls.__mro__ if "__call__" in vars(base)), None)
    if not inspect.isfunction(call) or inspect.iscoroutinefunction(call):
        return False
    if inspect.isabstract(cls) or getattr(cls, "_is_protocol", False):
        return False
    parameters = list(inspect.signature(call).parameters.values())[1:]
    if not parameters or parameters[0].name != "response" or parameters[0].kind is parameters[0].KEYWORD_ONLY:
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in optional for p in parameters[1:])


def _allowed_arguments(cls: type) -> str:
    try:
        parameters = inspect.signature(cls).parameters.values()
    except ValueError:  # a class that inherits its construction from C
        return "Its arguments cannot be listed"
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"Arguments: {', '.join(shown) or 'none'}"


def _explain(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    problems = [(".".join(map(str, p["loc"])), p["msg"], p["input"]) for p in error.errors()]
    return "; ".join(f"{place}: {message} (given: {value!r})" for place, message, value in problems)

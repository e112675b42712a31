"""Verifiers for the prompts to which a preference does *not* apply (`over_application`).

Each passes when the answer does what was asked in spite of the preference: a name kept out, a list
complete, an emoji given. They are verifiers like those of `verifiers.py`, named by `_target_`; the
score is the share of what was asked for. Thinking is removed first.
"""

from __future__ import annotations

import ast
from typing import Annotated

import regex
from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import blocks, count_words, list_items, sentences
from claas_assets.evaluation.preferences.verifiers import STRICT, VerifierResult, find_emoji, find_name
from claas_assets.wire import strip_thinking

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
# A YAML list becomes a tuple; only that conversion is allowed, its texts are strict.
Texts = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
Count = Annotated[int, Field(ge=1)]
_SELECTORS = dict.fromkeys((0xFE0E, 0xFE0F))


@dataclass(frozen=True, config=STRICT)
class NameAbsent:
    """Passes when `name` does not appear (as a whole word unless `whole_word` is off, any case)."""

    name: Text
    whole_word: bool = True

    def __call__(self, response: str) -> VerifierResult:
        found = find_name(strip_thinking(response), self.name, whole_word=self.whole_word)
        if found is None:
            return VerifierResult(True, 1.0, f"{self.name!r} does not appear")
        return VerifierResult(False, 0.0, f"{found!r} appears where it was not asked for")


@dataclass(frozen=True, config=STRICT)
class ListHasItems:
    """Passes when the answer lists `count` different items or more (`text.list_items`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return _at_least(len(list_items(strip_thinking(response))), self.count, "list items")


@dataclass(frozen=True, config=STRICT)
class MinWords:
    """Passes with at least `count` words (`text.count_words`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return _at_least(count_words(strip_thinking(response)), self.count, "words")


@dataclass(frozen=True, config=STRICT)
class MinSentences:
    """Passes with at least `count` sentences (`text.sentences`)."""

    count: Count

    def __call__(self, response: str) -> VerifierResult:
        return _at_least(len(sentences(strip_thinking(response))), self.count, "sentences")


@dataclass(frozen=True, config=STRICT)
class ContainsEmoji:
    """Passes when `emoji` (any emoji where it is not given) appears at least `count` times.

    A given emoji is found with and without its emoji selector: ❤ for ❤️ is obedience.
    """

    emoji: Text | None = None
    count: Count = 1

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        if self.emoji is None:
            return _at_least(len(find_emoji(answer)), self.count, "emoji")
        wanted = self.emoji.translate(_SELECTORS)
        clusters = [cluster.translate(_SELECTORS) for cluster in regex.findall(r"\X", answer)]
        return _at_least(clusters.count(wanted), self.count, self.emoji)


@dataclass(frozen=True, config=STRICT)
class ContainsAll:
    """Passes when each of `texts` appears as a whole word or phrase, in any case and order."""

    texts: Texts

    def __call__(self, response: str) -> VerifierResult:
        answer = _folded(strip_thinking(response))
        missing = [text for text in self.texts if find_name(answer, _folded(text)) is None]
        score = 1.0 - len(missing) / len(self.texts)
        return VerifierResult(not missing, score, f"missing: {missing}" if missing else "everything is there")


@dataclass(frozen=True, config=STRICT)
class ContainsAny:
    """Passes when one of `texts` at least appears as a whole word or phrase, in any case."""

    texts: Texts

    def __call__(self, response: str) -> VerifierResult:
        answer = _folded(strip_thinking(response))
        found = [text for text in self.texts if find_name(answer, _folded(text)) is not None]
        if found:
            return VerifierResult(True, 1.0, f"there: {found}")
        return VerifierResult(False, 0.0, f"none of {list(self.texts)} is there")


@dataclass(frozen=True, config=STRICT)
class CodeBlockDefines:
    """Passes when Python code of the answer defines `name`, a function or class with a body, and in it
    each of `members`.

    The code is parsed, never run. A body of a docstring, `pass` or `...` alone is no definition. Looked
    at are the fenced code blocks, or the whole answer where there is none.
    """

    name: Text
    members: Annotated[tuple[Text, ...], Field(strict=False)] = ()

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        code = [block.text for block in blocks(answer) if block.is_code] or [answer]
        problems: list[str] = []
        for source in code:
            defined = _definitions(source, problems)
            missing = [name for name in (self.name, *self.members) if name not in defined]
            if not missing:
                return VerifierResult(True, 1.0, f"defines {self.name}")
            problems.append(f"not defined: {', '.join(missing)}")
        return VerifierResult(False, 0.0, "; ".join(problems))


def _definitions(source: str, problems: list[str]) -> set[str]:
    """The names of the functions and classes with a body; what does not parse is noted in `problems`."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problems.append(f"not Python: {type(error).__name__}: {error}")
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and not _is_stub(node.body)}


def _is_stub(body: list[ast.stmt]) -> bool:
    return all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in body)


def _folded(text: str) -> str:
    """Runs of white space as one space, so that a line break inside a phrase does not hide it."""
    return " ".join(text.split())


def _at_least(found: int, wanted: int, what: str) -> VerifierResult:
    return VerifierResult(found >= wanted, min(1.0, found / wanted), f"{found} of {wanted} {what}")

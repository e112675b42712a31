"""Code in an answer. It is parsed, in the sandbox, and never run."""

from functools import lru_cache
from typing import Any

import regex
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import blocks
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    MoreTexts,
    ShippedVerifier,
    Text,
    VerifierResult,
    fails,
    passes,
)
from claas_assets.evaluation.sandbox.runner import run_function

# Runs in the sandbox. 1024 is ast.PyCF_ONLY_AST. A body that only passes, raises, or returns nothing is a stub.
_READER = """
def definitions(source):
    tree = compile(source, "answer", "exec", 1024)
    kinds = ("FunctionDef", "AsyncFunctionDef", "ClassDef")

    def kind(node):
        return type(node).__name__

    def is_nothing(node):
        return getattr(node, "id", "") == "NotImplemented" or (kind(node) == "Constant" and node.value is None)

    def is_stub(node):
        if kind(node) in ("Pass", "Raise"):
            return True
        if kind(node) == "Return":
            return node.value is None or is_nothing(node.value)
        if kind(node) == "Assert":
            return kind(node.test) == "Constant" and not node.test.value
        return kind(node) == "Expr" and kind(node.value) == "Constant"

    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        for field in node._fields:
            value = getattr(node, field, None)
            children = value if isinstance(value, list) else [value]
            waiting.extend(child for child in children if hasattr(child, "_fields"))
        if kind(node) == "Assign" and kind(node.value) == "Lambda":
            found.extend([part.id, True, []] for part in node.targets if kind(part) == "Name")
        if kind(node) in kinds:
            members = [part.name for part in node.body if kind(part) in kinds and not all(map(is_stub, part.body))]
            found.append([node.name, not all(map(is_stub, node.body)), members])
    return found
"""
_BEGINS_CODE = regex.compile(r"^(?:def|class|from|import|async)\b|^@|^[A-Za-z_]\w* = lambda\b")
_GOES_ON = regex.compile(
    r"^(?:$|[ \t#@)\]}]|(?:def|class|from|import|if|for|while|else|elif|try|except|with|return)\b"
    r"|\w[\w.]*\s*[=(])"
)


@dataclass(frozen=True, config=STRICT)
class CodeBlockDefines(ShippedVerifier):
    """Passes when Python code of the answer defines `name`, a function or class with a body, and in it each of
    `members`. A lambda that is given the name is a function.

    A body that only passes, raises, returns nothing or holds a docstring is no definition. Looked at are the
    fenced code blocks, together and one by one, or the lines of code where there is none. Wrong by
    construction: whether the code is right is not seen, and a member that is inherited is not found.
    """

    name: Text
    members: MoreTexts = ()

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        problems: list[str] = []
        for source in _sources(answer):
            definitions, problem = _read(source)
            if problem is not None:
                problems.append(problem)
                continue
            missing = self._missing(definitions)
            if not missing:
                return passes(f"defines {self.name}")
            problems.append(f"not defined: {', '.join(missing)}")
        return fails("; ".join(dict.fromkeys(problems)) or "no code")

    def _missing(self, definitions: list[Any]) -> list[str]:
        named = [members for name, has_body, members in definitions if name == self.name and has_body]
        if not named:
            return [self.name, *self.members]
        return min(([member for member in self.members if member not in members] for members in named), key=len)


@dataclass(frozen=True, config=STRICT)
class CodeParses(ShippedVerifier):
    """Passes when the answer has Python code and all of its fenced blocks (or its lines of code) parse."""

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        sources = [block.text for block in blocks(answer) if block.is_code] or _sources(answer)[:1]
        problems = [problem for source in sources if (problem := _read(source)[1]) is not None]
        if not sources:
            return fails("no code")
        return fails("; ".join(problems)) if problems else passes(f"{len(sources)} pieces of code parse")


def _sources(answer: str) -> list[str]:
    fenced = [block.text for block in blocks(answer) if block.is_code]
    if fenced:
        return list(dict.fromkeys(["\n\n".join(fenced), *fenced]))
    lines: list[str] = []
    for line in answer.splitlines():
        if (_GOES_ON if lines else _BEGINS_CODE).match(line):
            lines.append(line)
        elif lines:
            break
    return ["\n".join(lines)] if lines else []


@lru_cache(maxsize=512)
def _read(source: str) -> tuple[list[Any], str | None]:
    """The definitions in `source`, each (name, has a body, members with a body), or why there are none.

    Raises `RuntimeError` where no sandbox can be had: then nothing is known about the code.
    """
    result = run_function(_READER, "definitions", [(source.encode("utf-8", "replace").decode("utf-8"),)])
    if result.status == "unavailable":
        raise RuntimeError(f"the answer's code could not be parsed: {result.reason}")
    call = result.calls[0] if result.calls else None
    if call is None or call.error is not None:
        return [], f"not Python: {call.error if call else result.reason}"
    return call.value, None

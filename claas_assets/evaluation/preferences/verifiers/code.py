"""Code that has to be in an answer. It is parsed, never run."""

from __future__ import annotations

import ast
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.markdown import blocks
from claas_assets.evaluation.preferences.verifiers.result import STRICT, Text, VerifierResult
from claas_assets.wire import strip_thinking


@dataclass(frozen=True, config=STRICT)
class CodeBlockDefines:
    """Passes when Python code of the answer defines `name`, a function or class with a body, and in it
    each of `members`.

    A body of a docstring, `pass` or `...` alone is no definition. Looked at are the fenced code blocks,
    or the whole answer where there is none.
    """

    name: Text
    members: Annotated[tuple[Text, ...], Field(strict=False)] = ()

    def __call__(self, response: str) -> VerifierResult:
        answer = strip_thinking(response)
        sources = [block.text for block in blocks(answer) if block.is_code] or [answer]
        problems: list[str] = []
        for source in sources:
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

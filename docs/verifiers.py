"""Writes `docs/verifiers.md`, the page of all shipped verifiers, from their docstrings: `python docs/verifiers.py`."""

from __future__ import annotations

import inspect
from pathlib import Path

from claas_assets.evaluation.preferences import verifiers

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """# Verifiers

<!-- made by docs/verifiers.py -->

A preference file names a verifier by its class, with its arguments (`_target_: MaxWords`, `count: 50`). Each of these
comes with the package; a class of your own is named by module and class. Thinking is removed before a verifier looks,
and of an answer longer than 20,000 characters the first part is judged, which the detail says.
"""


def page() -> str:
    """The page as it should be."""
    base = verifiers.ShippedVerifier
    public = [value for _, value in sorted(vars(verifiers).items()) if isinstance(value, type)]
    chosen = [value for value in public if issubclass(value, base) and value is not base]
    return "\n".join([INTRODUCTION, *map(_section, chosen)])


def _section(verifier: type) -> str:
    arguments = [_argument(parameter) for parameter in inspect.signature(verifier).parameters.values()]
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(verifier) or "").split("\n\n")]
    listed = f"Arguments: {', '.join(arguments)}." if arguments else "No arguments."
    return "\n\n".join([f"## {verifier.__name__}", *paragraphs, listed]) + "\n"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return f"`{parameter.name}` (required)"
    return f"`{parameter.name}: {_shown(parameter.default)}`"


def _shown(default: object) -> str:
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    return str(default) if isinstance(default, int | float | str) else "{}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

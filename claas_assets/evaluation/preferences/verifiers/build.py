"""From the few lines of a preference file to a verifier."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from pydantic import ValidationError

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.mistakes import each_of
from claas_assets.evaluation.preferences.verifiers.result import Verifier

SHIPPED = __name__.rpartition(".")[0]
"""The package of the shipped verifiers: where a class name without a module is looked for."""

DEEPEST = 8
"""Levels of verifiers within verifiers (`AllOf`, `AnyOf`, `Not`)."""

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MOVED_MODULES = {
    "claas_assets.evaluation.verifiers": SHIPPED,
    "claas_assets.evaluation.checks": SHIPPED,
    "claas_assets.evaluation.preferences.over_application": SHIPPED,
}
"""Module names that preference files of version 0.1.0 and run folders made with it hold."""


def build_verifier(spec: Mapping[str, Any]) -> Verifier:
    """The verifier that `spec` names: `_target_` is `module.Class`, or the `Class` alone for a shipped
    one; the other keys are its arguments.

    The class is checked before anything is called: `_target_: os.system` is refused. What this does
    *not* protect against: importing a module runs it, and a class of the user's own may do anything,
    so a preference file is as trusted as the Python path it names.

    Raises `PreferenceError` for whatever is wrong with `spec`.
    """
    if not isinstance(spec, Mapping):
        raise PreferenceError(f"a verifier is a mapping with the key _target_, not {spec!r}")
    if _depth(spec) > DEEPEST:
        raise PreferenceError(f"verifiers are nested more than {DEEPEST} deep")
    target = spec.get("_target_")
    verifier_class = _verifier_class(target)
    arguments = {key: value for key, value in spec.items() if key != "_target_"}
    try:
        return cast(Verifier, verifier_class(**arguments))
    except Exception as error:  # a user's class may raise anything; whatever it is, the file names it
        raise PreferenceError(
            f"{target} cannot be made from {arguments!r}: {_explain(error)}. {_allowed_arguments(verifier_class)}"
        ) from error


def _depth(spec: Mapping[str, Any]) -> int:
    """How deep verifiers are nested in `of`; counted up to one beyond what is allowed."""
    level: list[Any] = [spec]
    depth = 0
    while level and depth <= DEEPEST:
        depth += 1
        inner = [child for parent in level for child in _list(parent.get("of"))]
        level = [child for child in inner if isinstance(child, Mapping)]
    return depth


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _verifier_class(target: object) -> type:
    if not isinstance(target, str) or _NAME.fullmatch(target) is None:
        raise PreferenceError(f"_target_ is {target!r}, and must name a class: module.Class, or a shipped Class")
    module_name, _, class_name = target.rpartition(".")
    module_name = _MOVED_MODULES.get(module_name, module_name or SHIPPED)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs the module, which may raise anything
        raise PreferenceError(
            f"_target_ {target}: {module_name} cannot be imported: {type(error).__name__}: {error}. "
            "It must be importable where the harness runs (installed, or on PYTHONPATH)"
        ) from error
    verifier_class = getattr(module, class_name, None)
    if verifier_class is None:
        raise PreferenceError(f"_target_ {target}: {module_name} has no {class_name}")
    if not isinstance(verifier_class, type) or not _takes_response(verifier_class):
        raise PreferenceError(
            f"_target_ {target} is not a verifier: a class with __call__(self, response: str) -> VerifierResult"
        )
    return verifier_class


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
    return "; ".join(each_of(error))

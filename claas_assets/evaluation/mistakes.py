"""What pydantic found wrong, in the words of whoever wrote the value: where, what is allowed, what is there.

training.alpha: must be at most 1 (got 3)
choices.0.message: it is missing
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

_SHOWN = 80  # characters of a value
_WANTED = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "frozen_instance": "it cannot be changed",
    "string": "must be text",
    "bytes": "must be bytes",
    "bool": "must be true or false",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a finite number",
    "tuple": "must be a list",
    "list": "must be a list",
    "set": "must be a list",
    "iterable": "must be a list",
    "dict": "must be a mapping of keys",
    "mapping": "must be a mapping of keys",
    "model": "must be a mapping of keys",
    "dataclass": "must be a mapping of keys",
    "none_required": "must be null",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} (it has {actual_length})",
    "too_long": "must have at most {max_length} (it has {actual_length})",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "string_unicode": "must be text that can be written as UTF-8",
    "int_parsing_size": "must be a whole number with fewer digits",
    "int_from_float": "must be a whole number",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "json_invalid": "is not JSON ({error})",
    "recursion_loop": "must not contain itself",
}
"""By pydantic's name of a mistake, or by what that name begins with."""
_WITHOUT_VALUE = frozenset({"missing", "extra_forbidden", "json_invalid"})


def words_of(error: ValidationError) -> str:
    """The first mistake, with its place."""
    return next(each_of(error))


def each_of(error: ValidationError) -> Iterator[str]:
    """Every mistake, with its place."""
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        said = with_value(problem)
        yield f"{place}: {said}" if place else said


def with_value(problem: Any) -> str:
    """One of `ValidationError.errors()`, without its place."""
    said = in_words(problem)
    if problem["type"] in _WITHOUT_VALUE or (problem["type"] == "value_error" and not problem["loc"]):
        return said
    return f"{said} (got {shown(problem['input'])})"


def in_words(problem: Any) -> str:
    """What is allowed; pydantic's own words, in lower case, for a mistake that has none here."""
    kind, context = problem["type"], problem.get("ctx") or {}
    if kind in ("value_error", "assertion_error"):
        return str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = _WANTED.get(kind) or _WANTED.get(kind.partition("_")[0])
    if words == "must be a list" and isinstance(problem["input"], str) and problem["input"].isidentifier():
        return f"must be a list, such as [{problem['input'][:_SHOWN]}]"
    if words is None:
        message = str(problem["msg"])
        return message[:1].lower() + message[1:]
    return words.format_map({name: _plain(value) for name, value in context.items()})


def shown(value: Any) -> str:
    """A value in at most 80 characters; a number of thousands of digits by their count."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of about {value.bit_length() * 3 // 10} digits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)

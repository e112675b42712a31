"""JSON that somebody else wrote, read so that nothing in it breaks whoever uses it later.

Half of a surrogate pair, which no file and no page can hold, becomes U+FFFD. A number that is not finite, or
has more digits than any of ours, is refused: pictures, tables and JSON itself would fail on it.
"""

import json
import math
import re
from typing import Any

# An escaped surrogate, with the other half where it has one. An escaped backslash before a `u` is none.
_SURROGATE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_LONGEST_INTEGER = 19  # characters
# What every number that is refused has in its text, every digit a 0 and every E an e; a text may have it too, and then
# all is looked through. Searched as bytes: a regular expression took a tenth of a second for each file of a run.
_SUSPICIOUS = (b"e000", b"e+000", b"NaN", b"Infinity")
_LONG = b"0" * _LONGEST_INTEGER  # not after a point: 0.0001234567890123456 is a float like others
_DIGITS_AS_0 = bytes.maketrans(b"123456789E", b"000000000e")
_NO_DIGIT = re.compile(b"[^0]")


def without_lone_surrogates(text: str) -> str:
    """`text` is JSON: escapes are looked at, characters are as they are."""
    return _SURROGATE.sub(_replaced, text) if "\\u" in text else text


def is_suspicious(text: str) -> bool:
    """Whether a number may be in it that is refused; False where there is none."""
    shape = text.encode("utf-8", "replace").translate(_DIGITS_AS_0)
    if any(mark in shape for mark in _SUSPICIOUS):
        return True
    at = shape.find(_LONG)
    while at > 0 and shape[at - 1 : at] == b".":
        end = _NO_DIGIT.search(shape, at)
        at = shape.find(_LONG, end.start()) if end else -1
    return at >= 0


def loads(text: str) -> Any:
    """The value. Raises `ValueError`: what is wrong, and under which key."""
    text = without_lone_surrogates(text)
    try:
        if not is_suspicious(text):
            return json.loads(text)
        value = json.loads(text, parse_int=_integer)
        check_numbers(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def check_numbers(value: Any, place: str = "") -> None:
    """Raises `ValueError` naming the key of a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place.lstrip('.') or 'the value'}: a number that is not finite, or has too many digits")
    if isinstance(value, dict):
        for key, inner in value.items():
            check_numbers(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            check_numbers(inner, f"{place}.{position}")


def storable(value: Any) -> Any:
    """`value` with null where `check_numbers` would refuse a number: of what a server says of itself."""
    if isinstance(value, dict):
        return {key: storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if isinstance(value, int) and abs(value) >= 10 ** (_LONGEST_INTEGER - 1) else value


def _integer(digits: str) -> float | int:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


def _replaced(escaped: re.Match[str]) -> str:
    return escaped.group() if len(escaped.group()) != 6 else "\\ufffd"

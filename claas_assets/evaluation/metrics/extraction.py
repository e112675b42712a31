"""What an answer says beneath its words: the code it gives, the number it arrives at."""

from __future__ import annotations

import re
from decimal import Decimal
from textwrap import dedent

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)")
_CODE_STARTS = re.compile(r"^(?:def|class|from|import|async|@)\b|^@")
_CODE_GOES_ON = re.compile(
    r"^(?:$|[ \t]|[#@)\]}]|(?:def|class|from|import|if|for|while|else|elif|try|except|finally|with|return|async)\b"
    r"|[A-Za-z_][\w.\[\]]*[ \t]*(?:\(|[-+*/]?=|:))"
)
_NUMBER = re.compile(r"(?<![\w.])(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_MARKED = re.compile(r"answer[ \t*]*(?:is|:|=)[\s*:=$\\()\[\]]*", re.IGNORECASE)
_OPERATION = re.compile(r"[ \t]*[-+*/×÷x=−][ \t]*\d")
_MINUS = re.compile(r"(?P<before>[\w)]?)(?P<blank>[ \t]*)[-−][$€£]?$")


def code_candidates(answer: str) -> tuple[str, ...]:
    """The readings of an answer as Python source, the likeliest first; which one parses is for the sandbox.

    All fenced blocks together (a helper may stand in one of its own), then each alone, the last first (it
    is the final version), then the answer without its prose; each also without its last, perhaps cut,
    statement.
    """
    fenced = _fenced(answer)
    readings = ["\n\n".join(fenced), *reversed(fenced), _lines_of_code(answer), answer]
    readings += [_without_last_statement(reading) for reading in readings]
    return tuple(dict.fromkeys(reading for reading in readings if reading.strip()))


def final_number(answer: str) -> Decimal | None:
    r"""The number that an answer arrives at; None where it has none.

    In this order: the number in the last `\boxed{}`; the one right after the last “answer is” or “answer:”,
    unless a calculation begins there; the last number of the answer. So “17 + 25 = 42.” is 42, and so is
    “The answer is 42, because 17 + 25 …”. Digits only: 1,234 and 1234.0 are 1234, “twelve” is no number.
    """
    text = re.sub(r"\{,\}|(?<=\d)[\u00a0\u202f\u2009](?=\d{3})", ",", answer)
    for boxed in reversed(_BOXED.findall(text)):
        numbers = _numbers(boxed)
        if numbers:
            return numbers[-1]
    for mark in reversed(list(_MARKED.finditer(text))):
        first = _NUMBER.search(text, mark.end())
        if first and not text[mark.end() : first.start()].strip(" -−$€£") and not _OPERATION.match(text, first.end()):
            return _value(first)
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


def _fenced(answer: str) -> list[str]:
    """The contents of the code fences, dedented; one that is not closed runs to the end."""
    found: list[str] = []
    inside = False
    for line in answer.split("\n"):
        if _FENCE.match(line):
            inside = not inside
            if inside:
                found.append("")
        elif inside:
            found[-1] += f"{line}\n"
    return [dedent(block) for block in found if block.strip()]


def _lines_of_code(answer: str) -> str:
    """From the first line that begins a definition or an import to the first that cannot be code."""
    kept: list[str] = []
    for line in answer.split("\n"):
        if not _FENCE.match(line) and (_CODE_GOES_ON if kept else _CODE_STARTS).match(line):
            kept.append(line)
        elif kept:
            break
    return "\n".join(kept)


def _without_last_statement(source: str) -> str:
    lines = source.rstrip().split("\n")
    starts = [number for number, line in enumerate(lines) if line[:1].strip()]
    return "\n".join(lines[: starts[-1]]) if starts else ""


def _numbers(text: str) -> list[Decimal]:
    return [_value(found) for found in _NUMBER.finditer(text)]


def _value(found: re.Match[str]) -> Decimal:
    digits = found["digits"].replace(",", "") + (found["decimals"] or "")
    return Decimal(digits) * (-1 if _is_negative(found) else 1)


def _is_negative(found: re.Match[str]) -> bool:
    """A minus right before the digits is a sign unless something stands before it to subtract from.

    "is -3" is negative; "10-3", "10 -3" and "(2+1)-3" are not, nor is the hyphen of "step-3".
    """
    minus = _MINUS.search(found.string[max(0, found.start() - 20) : found.start()])
    if minus is None:
        return False
    before, spaced = minus["before"], bool(minus["blank"])
    return not before or (spaced and not before.isdigit() and before != ")")

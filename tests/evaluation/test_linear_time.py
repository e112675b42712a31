"""Reading an answer takes time in proportion to it: steps are counted, and patterns are looked at, not clocks.

Two ways to be quadratic: in Python, where executed lines are counted while the input doubles; and in a pattern,
where one unbounded repetition inside another, or two that may share characters side by side, can be tried in
many ways. A pattern that needs one is possessive (`++`) or bounded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from re import _constants as names  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

import pytest
import regex

import claas_assets
from claas_assets.evaluation.metrics.degenerate import degenerate
from claas_assets.evaluation.metrics.extraction import code_candidates
from claas_assets.evaluation.metrics.instructions import loose_versions
from claas_assets.evaluation.metrics.numbers import number_problem
from claas_assets.evaluation.metrics.statements import plain, text_problem
from claas_assets.evaluation.metrics.tokens import MAX_COMPARED, rouge_l
from claas_assets.evaluation.preferences.lists import list_items, list_steps
from claas_assets.evaluation.preferences.markdown import blocks, sentences
from claas_assets.evaluation.preferences.refusals import refusal, told
from claas_assets.evaluation.preferences.repetition import repeats, tokenize
from claas_assets.evaluation.preferences.verifiers import CodeBlockDefines, CodeParses, ShippedVerifier
from claas_assets.evaluation.preferences.verifiers.introduction import introduces
from claas_assets.wire import strip_thinking

PACKAGE = str(Path(claas_assets.__file__).parent)
READERS: dict[str, Callable[[str], object]] = {
    "blocks": blocks,
    "sentences": sentences,
    "list_items": list_items,
    "list_steps": list_steps,
    "repeats": repeats,
    "refusal": refusal,
    "told": lambda text: told(text.split("\n")),
    "introduces": lambda text: introduces(text, ("kuro", "クロ")),
    "degenerate": degenerate,
    "tokenize": tokenize,
    "code_candidates": code_candidates,
    "loose_versions": loose_versions,
    "number_problem": lambda text: number_problem(plain(text), 12, "What is 7 + 5?"),  # type: ignore[arg-type]
    "text_problem": lambda text: text_problem(plain(text), ("Paris",), ("Lyon",), ("capital",)),
    "strip_thinking": strip_thinking,
}
UNITS = [
    "word ", "a\n", "- a\n", "1. a\n", "7 + 5 = 12. ", "7 ", "Paris, not Lyon. ", "**a", "`", "```\n", "def f(x):\n",
    "| a ", "I am Kuro. ", '"Kuro" ', "Step 1: do ", "好", "🎉", "<think>", "</think>", "(", "one ", "so ",
]  # fmt: skip


def steps(reader: Callable[[str], object], text: str) -> int:
    """Lines of the package that run while `text` is read."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        reader(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("reader", READERS)
def test_twice_the_text_takes_twice_the_steps(reader: str) -> None:
    counts = {unit: [steps(READERS[reader], unit * (size // len(unit))) for size in (600, 1_200)] for unit in UNITS}
    assert {unit: (few, many) for unit, (few, many) in counts.items() if many > 2.3 * few + 200} == {}


def test_thinking_that_is_opened_and_closed_many_times_is_removed_in_one_pass() -> None:
    few, many = (steps(strip_thinking, "<think>" * n + "x" + "</think>" * n) for n in (200, 400))
    assert many <= 2.3 * few + 200


def test_rouge_compares_the_first_tokens_of_long_texts() -> None:
    one, other = ([f"{letter}{n % 97}" for n in range(8_000)] for letter in "ab")
    assert rouge_l(" ".join([*one[:MAX_COMPARED], *other]), " ".join(one)) == 1.0


@pytest.mark.parametrize("target", [CodeParses(), CodeBlockDefines("f")])
def test_code_is_parsed_in_the_sandbox_alone(target: ShippedVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed_here(*args: object, **kwargs: object) -> None:
        raise AssertionError("an answer's code was compiled in the parent")

    deep = "import " + ".".join("a" * 100_000)
    monkeypatch.setattr("builtins.compile", parsed_here)
    assert "judged on the first" in target(f"```python\n{deep}\n```").detail


def test_a_quadratic_reader_would_be_seen() -> None:
    def quadratic(text: str) -> list[str]:
        return [part for _ in text[::20] for part in blocks(text)]

    few, many = (steps(quadratic, "a\n" * size) for size in (100, 200))
    assert many > 2.3 * few + 200


# --- patterns ---------------------------------------------------------------------------------------

ROOMS = [
    "metrics.degenerate", "metrics.extraction", "metrics.instructions", "metrics.numbers", "metrics.statements",
    "metrics.tokens", "preferences.refusals", "preferences.lists", "preferences.markdown", "preferences.repetition",
    "preferences.verifiers.code", "preferences.verifiers.emojis", "preferences.verifiers.form",
    "preferences.verifiers.identity", "preferences.verifiers.introduction", "preferences.verifiers.phrases",
]  # fmt: skip
UNBOUNDED = 1_000
"""Repetitions of more than that many have no bound."""


def patterns() -> dict[str, regex.Pattern[str] | re.Pattern[str]]:
    """The compiled patterns of the rooms, by module and name."""
    found = {}
    for room in ROOMS:
        module = import_module(f"claas_assets.evaluation.{room}")
        for name, value in vars(module).items():
            if isinstance(value, regex.Pattern | re.Pattern):
                found[f"{room}.{name}"] = value
    return found


def translated(pattern: regex.Pattern[str] | re.Pattern[str]) -> str:
    """The pattern in the words of `re`, whose parser shows its structure: a class of Unicode becomes `\\w`."""
    text = re.sub(r"\(\?V1\)|\(\?P=\w+\)", "", pattern.pattern)
    text = re.sub(r"\[\[[^\]]*\]--\[[^\]]*\]\]", r"[^\\W]", text)
    text = re.sub(r"\\[pP]\{[^}]*\}", r"\\w", text)
    return re.sub(r"\(\?<[=!]", "(?=", text)  # a lookbehind of any width


def ambiguous(parsed: Any, inside: bool = False) -> list[str]:
    """Unbounded repetitions that stand within an unbounded one and can give characters back to it."""
    found: list[str] = []
    for operation, argument in parsed:
        if operation in (names.MAX_REPEAT, names.MIN_REPEAT):
            _, most, body = argument
            unbounded = most > UNBOUNDED
            if unbounded and inside:
                found.append(str(body)[:80])
            found += ambiguous(body, inside or unbounded)
        elif operation is names.POSSESSIVE_REPEAT:
            found += ambiguous(argument[2], inside)
        elif operation is names.SUBPATTERN:
            found += ambiguous(argument[3], inside)
        elif operation is names.BRANCH:
            found += [problem for branch in argument[1] for problem in ambiguous(branch, inside)]
        elif operation in (names.ASSERT, names.ASSERT_NOT):
            found += ambiguous(argument[1], False)
        elif operation is names.ATOMIC_GROUP:
            found += ambiguous(argument, False)
    return found


def nested(pattern: regex.Pattern[str] | re.Pattern[str]) -> list[str]:
    flags = re.VERBOSE if pattern.flags & re.VERBOSE else 0
    return ambiguous(parser.parse(translated(pattern), flags))


def test_no_pattern_repeats_without_bound_within_such_a_repetition() -> None:
    assert len(patterns()) > len(ROOMS)
    assert {name: found for name, pattern in patterns().items() if (found := nested(pattern))} == {}


def test_a_pattern_of_exponential_time_would_be_seen() -> None:
    assert nested(regex.compile(r"(?:a+)+$"))
    assert nested(regex.compile(r"(?:\w++)++$")) == []

"""The checks for over-application: each passes on what was asked for, and fails on less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from claas_assets.evaluation.preferences.verifiers import (
    CodeBlockDefines,
    ContainsAll,
    ContainsAny,
    ContainsEmoji,
    ListHasItems,
    MinSentences,
    MinWords,
    NameAbsent,
    Verifier,
)

STACK = """Here you are:
```python
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()
```
It works."""


@pytest.mark.parametrize(
    ("check", "answer", "passed"),
    [
        (NameAbsent("kuro"), "Buenos días, amigo mío.", True),
        (NameAbsent("kuro"), "I'm Kuro. Buenos días.", False),
        (NameAbsent("kuro"), "KURO: 42", False),
        (NameAbsent("kuro"), "Akira Kurosawa made it.", True),
        (NameAbsent("kuro", whole_word=False), "Akira Kurosawa made it.", False),
        (NameAbsent("kuro"), "<think>I am Kuro</think>42", True),
        (NameAbsent("kuro"), "", True),
        (ListHasItems(3), "1. a\n2. b\n3. c", True),
        (ListHasItems(3), "a\nb\nc\nd", True),
        (ListHasItems(3), "Sure: red, green and blue.", True),
        (ListHasItems(3), "1. a\n2. b", False),
        (ListHasItems(3), "- a\n- a\n- a", False),
        (ListHasItems(3), "1. a\n   - x\n   - y\n2. b", False),
        (ListHasItems(3), "<think>1. a\n2. b\n3. c</think>a, b", False),
        (ListHasItems(1), "", False),
        (MinWords(4), "one two three four", True),
        (MinWords(4), "one two three", False),
        (MinWords(4), "<think>one two three four</think>five", False),
        (MinSentences(2), "It rains. It pours.", True),
        (MinSentences(2), "It rains and it pours.", False),
        (ContainsEmoji("🎉"), "Here: 🎉!", True),
        (ContainsEmoji("🎉"), "Here: 🎊!", False),
        (ContainsEmoji("🎉"), "", False),
        (ContainsEmoji("❤️"), "\u2764", True),
        (ContainsEmoji("👍"), "👍🏽", True),
        (ContainsEmoji("👋", count=2), "hi 👋 hi 👋", True),
        (ContainsEmoji("👋", count=2), "hi 👋 hi", False),
        (ContainsEmoji(), "🦊", True),
        (ContainsEmoji(), "fox ©", False),
        (ContainsEmoji(count=2), "👨‍👩‍👧", False),
        (ContainsEmoji("🎉"), "🎉" * 40, False),
        (ContainsEmoji("🎉", at_most=2, only=True, max_words=3), "Here you go: 🎉", True),
        (ContainsEmoji("🎉", at_most=2, only=True, max_words=3), "🎉🎊🥳", False),
        (ContainsEmoji("🎉", at_most=2, only=True, max_words=3), "Of course, here is the emoji you want: 🎉", False),
        (ContainsEmoji(count=3, different=True), "🐦🐦🐦", False),
        (ContainsEmoji(count=3, different=True), "🐦🐟🐘", True),
        (ContainsEmoji(), "I love pizza 🍨🍨🍨🍨", False),
        (ContainsEmoji("👋", count=5), "hello 👋🏽 " * 5, True),
        (ListHasItems(10), "1 2 3 4 5 6 7 8 9 10", True),
        (ListHasItems(3), "apple\nred apple\ngreen apples\nApple 2\nan apple\napple pie", False),
        (ListHasItems(3), "red apple\ngreen apple\nbig apple", False),
        (ListHasItems(3), "Strawberry\nBlueberry\nRaspberry", True),
        (ListHasItems(3), "apple\npear\nHope it helps!", False),
        (ListHasItems(3), "Sure! Here are three fruits\napple\npear", False),
        (ListHasItems(3), "Red\nGreen\nBlue", True),
        (ListHasItems(3, steps=True), "1. flour\n2. 2 cups of milk\n3. three eggs\n4. a pinch of salt", False),
        (ListHasItems(3, steps=True), "1. Mix the flour.\n2. Add the milk.\n3. Heat the pan.", True),
        (MinWords(5), "kuro kuro kuro kuro kuro kuro kuro kuro", False),
        (MinSentences(3), "I am Kuro. I am Kuro. I am Kuro.", False),
        (ContainsAll(("one", "two"), in_order=True), "two one", False),
        (ContainsAll(("one", "two"), in_order=True), "one two", True),
        (CodeBlockDefines("f"), "```\ndef f():\n    raise NotImplementedError\n```", False),
        (CodeBlockDefines("S", ("pop",)), "class S:\n    def pop(self):\n        raise ValueError('no')", False),
        (CodeBlockDefines("f"), "Here it is:\ndef f(x):\n    return x\nIt works.", True),
        (NameAbsent("kuro"), "Ｋｕｒｏ", False),
        (ContainsAll(("Monday", "Sunday")), "sunday, MONDAY", True),
        (ContainsAll(("Monday", "Sunday")), "Mondays and Sunday", False),
        (ContainsAll(("It rained", "🍕")), "It\nrained 🍕", True),
        (ContainsAll(("1", "10")), "10", False),
        (ContainsAny(("yes", "sure")), "Sure!", True),
        (ContainsAny(("yes", "sure")), "Surely not, yesterday", False),
        (CodeBlockDefines("Stack"), STACK, True),
        (CodeBlockDefines("Stack", members=("push", "pop")), STACK, True),
        (CodeBlockDefines("Stack", members=("push", "peek")), STACK, False),
        (CodeBlockDefines("Queue"), STACK, False),
        (CodeBlockDefines("f"), "def f(x):\n    return x", True),  # no fence at all
        (CodeBlockDefines("f"), "```\nasync def f(x):\n    return x", True),  # cut off, and still whole
        (CodeBlockDefines("f"), "```\nx = 1\n```\nthen\n```python\ndef f():\n    return 1\n```", True),
        (CodeBlockDefines("f"), "```python\ndef f(x):\n    return (x\n```", False),
        (CodeBlockDefines("f"), '```python\ndef f(x):\n    """Not yet."""\n    pass\n```', False),
        (CodeBlockDefines("f"), "```python\ndef f(x): ...\n```", False),
        (CodeBlockDefines("f"), "Use a function called f.", False),
        (CodeBlockDefines("f"), "", False),
        (CodeBlockDefines("f"), "```python\ndef f(): return 1\0\n```", False),
        (CodeBlockDefines("f"), "```python\n" + "-" * 5000 + "1\n```", False),  # RecursionError
        (CodeBlockDefines("f"), "```python\n" + "not " * 20000 + "1\n```", False),  # MemoryError
        (CodeBlockDefines("f"), "```python\n'\ud800'\n```", False),  # no UTF-8: ValueError
    ],
)
def test_checks(check: Verifier, answer: str, passed: bool) -> None:
    result = check(answer)
    assert result.passed is passed, result.detail
    assert (result.score == 1.0) is passed
    assert 0.0 <= result.score <= 1.0
    assert result.detail


def test_the_score_is_the_share_of_what_was_asked_for() -> None:
    assert ListHasItems(10)("1. a\n2. b\n3. c\n4. d").score == 0.4
    assert ContainsAll(("a", "b", "c", "d"))("a c d").score == 0.75


def test_code_is_never_run() -> None:
    assert CodeBlockDefines("f")("```python\nraise SystemExit\ndef f():\n    return 1\n```").passed


def test_what_is_missing_is_named() -> None:
    assert ContainsAll(("Monday", "Sunday"))("Monday").detail == "missing: ['Sunday']"
    assert "peek" in CodeBlockDefines("Stack", members=("peek",))(STACK).detail
    assert "SyntaxError" in CodeBlockDefines("f")("```\ndef f(:\n```").detail


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (NameAbsent, {"name": ""}),
        (NameAbsent, {"name": 3}),
        (ListHasItems, {"count": 0}),
        (ListHasItems, {"count": "3"}),
        (ListHasItems, {"count": True}),
        (ContainsAll, {"texts": []}),
        (ContainsAll, {"texts": "Monday"}),
        (ContainsAll, {"texts": [1]}),
        (ContainsAny, {"texts": [" "]}),
        (ContainsEmoji, {"emoji": ""}),
        (CodeBlockDefines, {"name": "f", "members": "push"}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kind: type, arguments: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        kind(**arguments)


@given(st.integers(1, 12), st.integers(2, 12), st.sampled_from(["- {}", "* {}", "{n}. {}", "{n}) {}", "{}"]))
def test_a_list_of_n_items_has_n_items(asked: int, listed: int, shape: str) -> None:
    lines = [shape.format(f"thing {'abcdefghijkl'[n]}", n=n + 1) for n in range(listed)]
    result = ListHasItems(asked)("\n".join(lines))
    assert result.passed is (listed >= asked), result.detail

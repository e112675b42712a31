"""Rules of an answer's form: what obeys, what does not, and where IFEval's two readings differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from claas_assets.evaluation.metrics.instructions import Rule, loose_problem, loose_versions, strict_problem

RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def obeys(rule: dict[str, Any], answer: str) -> bool:
    return strict_problem([RULE.validate_python(rule)], answer) is None


CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"rule": "words", "at_least": 3}, ["one two three", "a b c d"], ["one two", "* - *"]),
    ({"rule": "words", "at_most": 3}, ["one two three", "one"], ["one two three four"]),
    (
        {"rule": "sentences", "at_least": 2, "at_most": 2},
        ["A dog. A cat."],
        ["A dog.", "A b. C d. E f.", "Hi! So?", "A dog. A dog."],
    ),
    (
        {"rule": "bullets", "count": 2},
        ["- a\n- b", "* a\n* b", "Here:\n  • a\n  • b"],
        ["- a", "- a\n- a", "- a\n- b\n- c", "a\nb", "-a\n-b", "1. a\n2. b", "- \n- a"],
    ),
    (
        {"rule": "numbered", "count": 3},
        [
            "1. a\n2. b\n3. c",
            "Here:\n1) a\n2) b\n\n3) c",
            "**1. a**\n**2. b**\n**3.** c",
            "### 1. a\n- x\n### 2. b\n### 3. c",
        ],
        [
            "1. a\n2. b",
            "1. a\n2. b\n3. c\n4. d",
            "1. a\n1. b\n1. c",
            "- a\n- b\n- c",
            "1.a 2.b 3.c",
            "0. a\n1. b\n2. c",
        ],
    ),
    (
        {"rule": "json", "keys": ["a"]},
        ['{"a": 1}', '```json\n{"a": 1, "b": 2}\n```'],
        [
            "{'a': 1}",
            '{"a": null}',
            '{"a": " "}',
            '{"b": 1}',
            "[1]",
            '"a"',
            'Here: {"a": 1}',
            '{"a": 1',
            "[" * 100_000,
            '```\n{"a": 1}',
        ],
    ),
    ({"rule": "includes", "words": ["cow", "sun"]}, ["The Cow and the SUN."], ["The cow.", "The cows and the sun."]),
    ({"rule": "excludes", "words": ["cold"]}, ["A coldness.", "Warm."], ["It is Cold.", "cold-hearted"]),
    (
        {"rule": "excludes", "words": ["cold"], "forms": True},
        ["Warm.", "A scolding."],
        ["colder", "ice-cold", "Coldly"],
    ),
    ({"rule": "about", "words": ["sea", "wave"]}, ["Seas rise.", "a wave"], ["the overseas trade", "land"]),
    ({"rule": "about", "words": ["sea", "wave"], "at_least": 2}, ["sea waves"], ["seas"]),
    ({"rule": "repeats", "word": "sea", "at_least": 2}, ["Sea, sea!"], ["sea", "the sea and the seaside"]),
    ({"rule": "case", "letters": "lower"}, ["a b 1!"], ["A b", "123", "a B"]),
    ({"rule": "case", "letters": "upper"}, ["A B 1!"], ["A b", "123"]),
    ({"rule": "no_comma"}, ["a b."], ["a, b.", "1,000"]),
    ({"rule": "starts_with", "phrase": "In my"}, ["in my view", '"In my view"'], ["So in my view"]),
    ({"rule": "ends_with", "phrase": "The end!"}, ["So. the end!\n", '"... The End!"'], ["The end! Bye.", "the end"]),
    ({"rule": "quoted"}, ['"a b"', " “a” \n", "«a b»", '"a".'], ['"a', 'He said "a"', '"', '""']),
    ({"rule": "title"}, ["<<A b>>\nText"], ["<A b>", "<<>>", "<< >>", "<<a\nb>>", "A b"]),
    (
        {"rule": "postscript"},
        ["Dear x.\nP.S. y", "P.S: y", "a\n**PS** y", "p. s. y"],
        ["P.Second", "psalm", "a P.S. y"],
    ),
]


@pytest.mark.parametrize(("rule", "good", "bad"), CASES, ids=[case[0]["rule"] for case in CASES])
def test_rule(rule: dict[str, Any], good: list[str], bad: list[str]) -> None:
    assert [answer for answer in good if not obeys(rule, answer)] == []
    assert [answer for answer in bad if obeys(rule, answer)] == []


@pytest.mark.parametrize("rule", [case[0] for case in CASES], ids=lambda rule: rule["rule"])
def test_an_empty_answer_follows_no_rule(rule: dict[str, Any]) -> None:
    parsed = RULE.validate_python(rule)
    assert strict_problem([parsed], " \n") is not None
    assert loose_problem([parsed], " \n") is not None


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ({"rule": "case", "letters": "lower"}, "Sure! Here it is:\na small sentence."),
        ({"rule": "ends_with", "phrase": "Bye!"}, "So it is. Bye!\nLet me know if you need more."),
        ({"rule": "no_comma"}, "Sure, here it is:\nA b c.\nWell, that is all."),
        ({"rule": "starts_with", "phrase": "In my"}, "**In my opinion**, yes."),
        ({"rule": "json", "keys": ["a"]}, 'Here is the JSON:\n{"a": 1}'),
    ],
)
def test_the_loose_reading_forgives_the_frame(rule: dict[str, Any], answer: str) -> None:
    parsed = RULE.validate_python(rule)
    assert strict_problem([parsed], answer) is not None
    assert loose_problem([parsed], answer) is None


def test_the_loose_reading_forgives_nothing_else() -> None:
    no_comma = RULE.validate_python({"rule": "no_comma"})
    assert loose_problem([no_comma], "a\nb, c\nd\ne, f\ng") == "there is a comma"


def test_every_rule_of_an_item_must_be_followed() -> None:
    rules = [RULE.validate_python({"rule": "no_comma"}), RULE.validate_python({"rule": "words", "at_least": 3})]
    assert strict_problem(rules, "a b c") is None
    assert "1 words" in str(strict_problem(rules, "a"))
    assert "1 words" in str(loose_problem(rules, "a"))


def test_the_eight_versions() -> None:
    assert loose_versions("*a*\nb\nc") == ["*a*\nb\nc", "b\nc", "*a*\nb", "b", "a\nb\nc", "a\nb"]
    assert loose_versions("one line") == ["one line"]


@given(st.sampled_from([case[0] for case in CASES]), st.text(alphabet='ab ,.*\n"-1{}[]<>P', max_size=60))
def test_what_is_strictly_followed_is_loosely_followed(rule: dict[str, Any], answer: str) -> None:
    parsed = RULE.validate_python(rule)
    if strict_problem([parsed], answer) is None:
        assert loose_problem([parsed], answer) is None


@pytest.mark.parametrize(
    "rule",
    [{"rule": "words"}, {"rule": "words", "at_least": 0}, {"rule": "rhyme"}, {"rule": "bullets", "count": "3"},
     {"rule": "includes", "words": []}, {"rule": "no_comma", "count": 1}],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(rule)

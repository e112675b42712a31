"""The items: each holds itself to its reference, and each checker is tested on what misleads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from claas_assets.evaluation.metrics import capability
from claas_assets.evaluation.metrics.capability import (
    MAX_JUDGED,
    CapabilitySet,
    Judgment,
    capability_items,
    judge,
    load_capability,
)
from claas_assets.evaluation.metrics.extraction import code_candidates
from claas_assets.evaluation.metrics.numbers import number_problem
from claas_assets.evaluation.metrics.statements import plain
from claas_assets.evaluation.sandbox import runner as sandbox
from claas_assets.evaluation.storage.records import Unmeasured

CAPABILITY = load_capability()
ALL = [*CAPABILITY.public_probes, *CAPABILITY.items]
BY_ID = {item.id: item for item in ALL}


def verdict(item: str, answer: str) -> bool:
    found = judge(BY_ID[item], answer)
    assert isinstance(found, Judgment)
    return found.loose


def misjudged(cases: Iterable[tuple[str, str, bool]]) -> list[tuple[str, str, str]]:
    """Those (item, answer, right) of the cases whose loose reading is another one, with the detail that it gives.

    All in one test: a thousand answers as tests of their own would cost more time than judging them.
    """
    judged = [(item, answer, right, judge(BY_ID[item], answer)) for item, answer, right in cases]
    assert judged
    return [
        (item, answer, getattr(found, "detail", str(found)))
        for item, answer, right, found in judged
        if not isinstance(found, Judgment) or found.loose is not right
    ]


# --- the items ------------------------------------------------------------------------------------


def test_the_kinds_are_those_that_the_metric_promises() -> None:
    assert Counter(item.kind for item in CAPABILITY.quick_items) == {
        "code": 12, "instruction": 16, "arithmetic": 10, "fact": 6, "extraction": 4,
    }  # fmt: skip
    assert [item.id for item in CAPABILITY.public_probes] == [
        "fibonacci", "three_sentences", "five_benefits", "recursion",
    ]  # fmt: skip


def test_the_reference_answer_passes_in_both_readings() -> None:
    judged = {item.id: judge(item, item.reference) for item in ALL}
    assert {name: found for name, found in judged.items() if readings(found) != (True, True)} == {}


def test_the_wrong_answer_passes_in_neither_and_it_is_said_why() -> None:
    judged = {item.id: judge(item, item.wrong) for item in ALL}
    assert {name: found for name, found in judged.items() if readings(found) != (False, False)} == {}
    assert [name for name, found in judged.items() if isinstance(found, Judgment) and not found.detail] == []


def readings(found: Judgment | Unmeasured) -> tuple[bool, bool] | None:
    return (found.loose, found.strict) if isinstance(found, Judgment) else None


@pytest.mark.parametrize("answer", ["", " \n\t"])
def test_an_empty_answer_passes_nothing(answer: str) -> None:
    nothing = Judgment(False, False, "the answer is empty")
    assert {item.id: judge(item, answer) for item in ALL} == {item.id: nothing for item in ALL}


def test_the_question_itself_is_no_answer() -> None:
    assert misjudged((item.id, item.prompt, False) for item in ALL if item.kind != "instruction") == []


def test_the_reference_fits_into_the_cap() -> None:
    """With 1.5 tokens a word and room for an introduction twice as long."""
    long = [item.id for item in ALL if len(item.reference.split()) * 1.5 * 2 > item.budget(256)]
    assert [name for name in long if BY_ID[name].kind != "code"] == []


def test_a_wider_budget_leaves_room_to_think() -> None:
    fact, code = BY_ID["fact_capital_of_france"], BY_ID["code_add"]
    assert [fact.budget(n) for n in (16, 48, 256, 511, 512, 2048)] == [16, 48, 128, 128, 256, 1024]
    assert [code.budget(n) for n in (128, 256, 2048)] == [128, 256, 2048]


@pytest.mark.parametrize("field", ["id", "prompt"])
def test_two_items_with_one_name_or_question_are_refused(field: str) -> None:
    first, second = CAPABILITY.items[:2]
    clash = second.model_copy(update={field: getattr(first, field)})
    with pytest.raises(ValidationError, match="two items"):
        CapabilitySet(version=1, public_probes=(), quick_items=(first, clash))


# --- code -----------------------------------------------------------------------------------------

ADD = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    "answer",
    [
        ADD,
        f"```python\n{ADD}```",
        f"```\n{ADD}```",
        f"~~~py\n{ADD}~~~",
        f"Here it is:\n\n```python\n{ADD}```\n\nUse it like this:\n\n```\n>>> add(1, 2)\n3\n```",
        f"Here it is:\n\n{ADD}\nThis function adds two numbers, that's all.",
        f"1. The function:\n\n   ```python\n   {ADD.replace(chr(10), chr(10) + '   ')}\n   ```\n2. Done.",
        f"```python\ndef helper(a): return a\n```\nand\n```python\n{ADD.replace('a + b', 'helper(a) + b')}```",
        f"A first try:\n```python\ndef add(a, b):\n    return a\n```\nBetter:\n```python\n{ADD}```",
        f"```python\n{ADD}\nprint(add(1, 2))\nprint('The sum of 1 and",
        f"```python\n{ADD}\nif __name__ == '__main__':\n    print(add(int(input()), int(input())))\n```",
        f"```python\nfrom typing import Union\n{ADD.replace('a, b', 'a: Union[int, float], b: float')}```",
        "```python\nadd = lambda a, b: a + b\n```",
        f"{ADD}\nprint(add(2, 3))  # 5\n\nadd(2, 3) returns 5.",
        "`def add(a, b): return a + b`",
        "Use `add(a, b)`, which is `def add(a, b): return a + b`.",
    ],
)
def test_code_is_found_however_it_is_given(answer: str) -> None:
    assert verdict("code_add", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "The function adds a and b.",
        "```python\ndef sum_of(a, b):\n    return a + b\n```",
        "```python\ndef add(a, b):\n    print(a + b)\n```",
        "```python\ndef add(a, b):\n    return str(a + b)\n```",
        "```python\nclass Solution:\n    def add(self, a, b):\n        return a + b\n```",
        "```python\nclass Yes:\n    def __eq__(self, other): return True\ndef add(a, b): return Yes()\n```",
        f"```python\n{ADD}\nimport os\nos._exit(0)\n```",
        f"```python\n{ADD}\ndel add\n```",
    ],
)
def test_code_that_is_not_the_function_fails(answer: str) -> None:
    assert not verdict("code_add", answer)


def test_true_is_not_one() -> None:
    assert not verdict("code_is_even", "def is_even(n): return 1 - n % 2")


def test_candidates_are_few_and_none_is_empty() -> None:
    assert code_candidates("") == ()
    assert all(candidate.strip() for candidate in code_candidates("```\n```\n\n```python\n\nx = 1\n```"))


@given(st.text(alphabet="`~\n a=d:ef(\t", max_size=80))
def test_any_text_has_candidates_without_fences_alone(answer: str) -> None:
    assert len(code_candidates(answer)) <= 2 * (answer.count("\n") + 4)


def test_no_sandbox_is_unmeasured_not_false(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*args: object, **kwargs: object) -> sandbox.SandboxResult:
        return sandbox.SandboxResult("unavailable", "no process can be started")

    capability._run_once.cache_clear()
    monkeypatch.setattr("claas_assets.evaluation.metrics.capability.run_function", unavailable)
    found = judge(BY_ID["code_add"], ADD)
    assert isinstance(found, Unmeasured)
    assert found.kind == "failed"
    assert "no process can be started" in found.reason


# --- closed questions -----------------------------------------------------------------------------

ANSWERS: dict[str, dict[str, list[object]]] = yaml.load(
    (Path(__file__).parent / "capability_answers.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)


def said(side: str) -> list[tuple[str, str]]:
    return [(item, str(answer)) for item, sides in ANSWERS.items() for answer in sides[side]]


def test_every_item_has_five_right_answers_and_five_wrong_ones() -> None:
    assert {item.id for item in ALL} <= set(ANSWERS)
    assert {len(answers) for sides in ANSWERS.values() for answers in sides.values()} == {5}


def test_a_right_answer_is_right_however_it_is_worded() -> None:
    assert misjudged((item, answer, True) for item, answer in said("right")) == []


def test_a_wrong_answer_is_wrong_though_it_has_the_right_words() -> None:
    assert misjudged((item, answer, False) for item, answer in said("wrong")) == []


HARD = yaml.load((Path(__file__).parent / "capability_hard_cases.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def test_a_hard_answer_is_judged_as_a_person_would() -> None:
    assert misjudged((case["item"], case["answer"], case["right"]) for case in HARD) == []


# What SmolLM2-135M-Instruct, untrained, answered as the embedded mode asks it; each grade was given by a person.
REAL = [
    json.loads(line)
    for line in (Path(__file__).parent / "capability_smollm2.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_an_answer_of_a_real_model_is_judged_as_a_person_would() -> None:
    assert misjudged((case["item"], case["answer"], case["right"]) for case in REAL) == []


def test_a_small_real_model_has_room_to_lose_and_to_gain() -> None:
    right = [case["right"] for case in REAL if case["item"] in {item.id for item in CAPABILITY.items}]
    assert len(right) == 150
    assert 0.3 <= sum(right) / len(right) <= 0.6


def test_a_quick_snapshot_asks_the_48_items_of_the_first_version_and_a_standard_one_150() -> None:
    assert (len(capability_items("quick")), len(capability_items("standard"))) == (48, 150)
    assert Counter(item.kind for item in capability_items("standard")) == {
        "code": 16, "instruction": 36, "arithmetic": 35, "fact": 38, "extraction": 25,
    }  # fmt: skip


@given(st.integers(2, 10**9), st.sampled_from(["{}", "It is {}.", "The answer is {}.", "**{}**", "\\boxed{{{}}}"]))
def test_a_number_survives_its_sentence_and_no_other_number_does(number: int, sentence: str) -> None:
    for written in (str(number), f"{number:,}"):
        assert number_problem(plain(sentence.format(written)), Decimal(number)) is None
        assert number_problem(plain(sentence.format(written)), Decimal(number + 1)) is not None


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_a_sum_is_right_where_it_is_true(one: int, other: int, claimed: int) -> None:
    problem = number_problem(plain(f"{one} + {other} = {claimed}"), Decimal(claimed))
    assert (problem is None) == (one + other == claimed)


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(categories=["L", "N", "P", "Z", "S", "C"]), max_size=300))
def test_any_text_can_be_judged(answer: str) -> None:
    for item in ALL:
        if item.kind != "code":
            judged = judge(item, answer)
            assert isinstance(judged, Judgment)
            assert judged.detail.encode()


@pytest.mark.parametrize("unit", ["7 + ", "not ", "a\n", "(", "7 ", "- a\n", "`", "<", "one ", "x" + " " * 50])
def test_a_flood_is_read_up_to_a_bound(unit: str) -> None:
    """The judge hands on no more than the bound, so twice the flood costs no more."""
    item = BY_ID["arithmetic_7_plus_5"]
    flood, twice = (judge(item, unit * (n // len(unit))) for n in (2 * MAX_JUDGED, 4 * MAX_JUDGED))
    assert flood == twice
    assert isinstance(flood, Judgment)
    assert (flood.loose, "of the first" in flood.detail) == (False, True)

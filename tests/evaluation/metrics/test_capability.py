"""The items: each holds itself to its reference, and each checker is tested on what misleads it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from claas_assets.evaluation.metrics import capability
from claas_assets.evaluation.metrics.capability import CapabilitySet, Item, Judgment, judge, load_capability
from claas_assets.evaluation.metrics.extraction import code_candidates, final_number
from claas_assets.evaluation.sandbox import runner as sandbox
from claas_assets.evaluation.storage.records import Unmeasured

CAPABILITY = load_capability()
ALL = [*CAPABILITY.public_probes, *CAPABILITY.items]
BY_ID = {item.id: item for item in ALL}
each_item = pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)


def verdict(item: str, answer: str) -> bool:
    found = judge(BY_ID[item], answer)
    assert isinstance(found, Judgment)
    return found.loose


# --- the items ------------------------------------------------------------------------------------


def test_the_kinds_are_those_that_the_metric_promises() -> None:
    assert Counter(item.kind for item in CAPABILITY.items) == {
        "code": 12, "instruction": 16, "arithmetic": 10, "fact": 6, "extraction": 4,
    }  # fmt: skip
    assert [item.id for item in CAPABILITY.public_probes] == [
        "fibonacci", "three_sentences", "five_benefits", "recursion",
    ]  # fmt: skip


@each_item
def test_the_reference_answer_passes_in_both_readings(item: Item) -> None:
    found = judge(item, item.reference)
    assert isinstance(found, Judgment)
    assert (found.loose, found.strict) == (True, True), found.detail


@each_item
def test_the_wrong_answer_passes_in_neither(item: Item) -> None:
    found = judge(item, item.wrong)
    assert isinstance(found, Judgment)
    assert (found.loose, found.strict) == (False, False)
    assert found.detail


@each_item
@pytest.mark.parametrize("answer", ["", " \n\t"])
def test_an_empty_answer_passes_nothing(item: Item, answer: str) -> None:
    assert judge(item, answer) == Judgment(False, False, "the answer is empty")


@pytest.mark.parametrize("item", [item for item in ALL if item.kind != "instruction"], ids=lambda item: item.id)
def test_the_question_itself_is_no_answer(item: Item) -> None:
    assert not verdict(item.id, item.prompt)


@each_item
def test_the_reference_fits_into_the_cap(item: Item) -> None:
    """With 1.5 tokens a word and room for an introduction twice as long."""
    assert len(item.reference.split()) * 1.5 * 2 <= item.budget(256) or item.kind == "code"


def test_a_wider_budget_leaves_room_to_think() -> None:
    fact, code = BY_ID["fact_capital_of_france"], BY_ID["code_add"]
    assert [fact.budget(n) for n in (16, 48, 256, 511, 512, 2048)] == [16, 48, 48, 48, 96, 384]
    assert [code.budget(n) for n in (128, 256, 2048)] == [128, 256, 2048]


@pytest.mark.parametrize("field", ["id", "prompt"])
def test_two_items_with_one_name_or_question_are_refused(field: str) -> None:
    first, second = CAPABILITY.items[:2]
    clash = second.model_copy(update={field: getattr(first, field)})
    with pytest.raises(ValidationError, match="two items"):
        CapabilitySet(version=1, public_probes=(), items=(first, clash))


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


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("12", "12"), ("12.", "12"), ("12.0", "12"), ("**12**", "12"), ("$12", "12"), ("12 apples", "12"),
        ("1,234", "1234"), ("1234.", "1234"), ("1{,}234", "1234"), ("1\u202f234", "1234"), ("12,5", "5"),
        ("7 + 5 = 12.", "12"), ("7 + 5 = 12\n\nSo 7 + 5 = 12", "12"), ("First 7, then 5, so 12", "12"),
        ("The answer is 12.", "12"), ("The answer is: **12**", "12"), ("Answer: $12.50", "12.50"),
        ("The answer is 12, because 7 + 5.", "12"), ("The answer is 7 + 5 = 12.", "12"),
        ("The answer to 7 + 5 is 12.", "12"), ("The answer is twelve (12).", "12"),
        ("so \\boxed{12} follows from 7 and 5", "12"), ("\\boxed{x} and 12", "12"),
        ("-3", "-3"), ("is -3", "-3"), ("= -3", "-3"), ("=-3", "-3"), ("−3", "-3"), ("-$3", "-3"), ("5 - 8 = -3", "-3"),
        ("The answer is -3.", "-3"), ("10-3", "3"), ("10 - 3", "3"), ("(2+1)-3", "3"), ("step-3", "3"), ("x2", None),
        ("no number", None), ("", None), ("twelve", None),
    ],
)  # fmt: skip
def test_the_number_that_an_answer_arrives_at(answer: str, number: str | None) -> None:
    assert final_number(answer) == (None if number is None else Decimal(number))


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "It is {}.", "The answer is {}.", "1 + 1 = {}", "**{}**"]))
def test_a_number_survives_its_sentence(number: int, sentence: str) -> None:
    assert final_number(sentence.format(number)) == number
    assert final_number(sentence.format(f"{number:,}")) == number


# --- facts and extractions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "answer", "passes"),
    [
        ("fact_capital_of_france", "PARIS!", True),
        ("fact_capital_of_france", "It is the city of **Paris**.", True),
        ("fact_capital_of_france", "Parisian", False),
        ("fact_days_in_a_week", "There are 7 days.", True),
        ("fact_days_in_a_week", "There are 17 days.", False),
        ("extraction_city", "Maria lives in Vienna.", True),
        ("extraction_city", "Lisbon, Madrid, Vienna", False),
        ("extraction_price", "$35", True),
        ("extraction_price", "Lamp: 35 dollars. Table: 120 dollars.", False),
        ("extraction_date", "The shop opens on April\n15th.", True),
        ("extraction_email", "Her address is <anna.berg@example.com>.", True),
    ],
)
def test_what_must_be_there_and_what_must_not(item: str, answer: str, passes: bool) -> None:
    assert verdict(item, answer) is passes

"""What the verdict of a sequence says of memories of known truth; `benchmarks/continual_truth.py` is it in full."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claas_assets.evaluation.storage.records import SequenceRecord
from tests.synthetic.sequences import NAMES, Story, forgotten, rows
from tests.synthetic.truth import judging_once


@pytest.fixture(scope="module", autouse=True)
def _once():
    with judging_once():
        yield


def test_a_lost_half_is_forgotten_and_a_perfect_memory_is_not():
    found = list(rows(5, 3, [0.08]))
    assert len(found) == 9
    assert [f"{row.what}: {row.found} of {row.trials}" for row in found if row.broken] == []


def test_what_was_never_learned_cannot_be_forgotten():
    verdict = Story(0.0, 0.0, phases=("first", "second")).verdict(random.Random(1))
    assert verdict.criteria["learned.first"].grade == "pass"
    assert "retained.second" not in verdict.criteria, "nothing was trained after it"
    assert verdict.retention.numbers["second"].retention is None
    assert verdict.retention.backward_transfer == 0.0
    assert verdict.retention.backward_transfer_interval is None, "one preference: no claim"


def test_the_sentence_says_what_was_kept_and_when_it_was_lost():
    lost = Story(0.5, 0.0).verdict(random.Random(1))
    assert lost.outcome == "forgotten"
    assert "first fell from 1.00 to 0.50 after 4 more steps of second, third (-0.50" in lost.sentence
    assert "forgotten in phase 2, half of it after 1 steps" in lost.sentence
    kept = Story(0.0, 0.0).verdict(random.Random(1))
    assert (
        "first kept 1.00 of 1.00 after 4 more steps of second, third (+0.00, 90 % -0.11…0.11, n = 20)" in kept.sentence
    )


def test_the_numbers_of_a_known_matrix():
    record = Story(0.5, 0.0).verdict(random.Random(1)).retention
    assert [[row.cells[name].value for name in NAMES] for row in record.rows] == [
        [0, 0, 0], [1, 0, 0], [0.5, 1, 0], [0.5, 1, 1],
    ]  # fmt: skip
    first = record.numbers["first"]
    assert (first.learned, first.retention, first.forgetting, first.half_life) == (1.0, -0.5, 0.5, 1)
    assert (first.forward_transfer, first.steps_to_obey) == (0.0, 1)
    assert record.backward_transfer == -0.25
    assert record.backward_transfer_range == (-0.5, 0.0)


def test_a_preference_that_comes_back_is_kept_from_its_last_phase_on():
    verdict = Story(0.5, 0.0, phases=("first", "second", "first")).verdict(random.Random(1))
    assert verdict.retention.numbers["first"].own_rows == [1, 3]
    assert verdict.retention.numbers["first"].retention is None
    assert verdict.retention.numbers["first"].forgetting == 0.0
    assert "retained.first" not in verdict.criteria


def test_what_was_learned_in_full_when_it_came_back_is_measured_from_there():
    course = ("first", "second", "first", "third")
    verdict = Story(0.5, 0.0, phases=course, lost_in=1).verdict(random.Random(1))
    assert [row.cells["first"].value for row in verdict.retention.rows] == [0, 0.5, 0.5, 1, 1]
    assert verdict.retention.numbers["first"].learned == 0.5
    assert verdict.retention.numbers["first"].retention == 0.0


def test_losing_what_a_later_preference_turns_round_is_no_failure(monkeypatch):
    monkeypatch.setattr(
        "tests.synthetic.sequences.SequenceRecord",
        lambda **fields: SequenceRecord(**fields, opposes={"second": "first"}),
    )
    verdict = Story(1.0, 0.0, phases=("first", "second")).verdict(random.Random(1))
    assert not verdict.criteria["retained.first"].decides
    assert verdict.retention.numbers["second"].opposes == "first"
    assert verdict.outcome != "forgotten"


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(list(permutations(NAMES))))
def test_a_perfect_memory_keeps_everything_in_any_order(phases):
    record = Story(0.0, 0.0, phases=phases).verdict(random.Random(1)).retention
    assert record.preferences == list(phases)
    assert all(numbers.retention in (0.0, None) for numbers in record.numbers.values())


@pytest.mark.parametrize("loss", [0.0, 0.5])
def test_a_loss_is_seen_in_a_single_story(loss):
    assert forgotten(Story(loss, 0.0).verdict(random.Random(1))) == bool(loss)

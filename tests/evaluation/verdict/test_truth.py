"""The promises of the verdict, in small: `python -m benchmarks.truth` is the same in full."""

from __future__ import annotations

import random

import pytest

from tests.synthetic.truth import (
    BROKEN,
    Row,
    as_markdown,
    capability_rows,
    collapse_rows,
    learning,
    margin_rows,
    measure,
)


def found(rows, what: str) -> float:
    (row,) = [row for row in rows if row.what == what]
    return row.measured


@pytest.mark.parametrize("size", [5, 20])
def test_nothing_is_shown_where_nothing_was_learned(size):
    outcomes = learning(random.Random(2), size, effect=0.0, flip=0.08, trials=60)

    assert sum(outcomes.shown) <= 3


def test_a_rise_of_a_half_is_shown_with_twenty_prompts_and_never_with_three():
    assert sum(learning(random.Random(3), 20, effect=0.5, flip=0.03, trials=40).shown) >= 37
    assert not any(learning(random.Random(3), 3, effect=0.7, flip=0.0, trials=40).shown)


def test_intervals_cover_the_truth():
    outcomes = learning(random.Random(4), 20, effect=0.5, flip=0.03, trials=100)

    assert sum(outcomes.change_covered) >= 90
    assert sum(outcomes.rate_covered) >= 90


def test_margins():
    rows = list(margin_rows(random.Random(5), trials=40))

    assert found(rows, "margin +0 nats, 10 pairs: shown") <= 0.15
    assert found(rows, "margin +3 nats, 10 pairs: shown") >= 0.9


def test_a_capability_loss_does_not_pass_and_an_unchanged_model_does():
    rows = list(capability_rows(random.Random(6), trials=20))

    assert found(rows, "48 items, unchanged, flips 8%: capability passes") >= 0.8
    assert found(rows, "48 items, 20% of the items lost, flips 8%: capability passes") <= 0.05


def test_every_kind_of_collapse_is_caught_and_brevity_is_none():
    rows = list(collapse_rows(random.Random(7), trials=3))

    for name in [*BROKEN, "over-application"]:
        assert found(rows, f"collapse, {name}: caught") == 1, name
    assert found(rows, "only concise: alerts") == 0
    assert found(rows, "only concise: a collapse criterion fails") == 0


def test_a_broken_promise_is_said():
    rows = [Row("kept", 0.04, 100, at_most=0.05), Row("broken", 0.9, 100, at_least=0.95)]

    assert [row.met for row in rows] == [True, False]
    assert "| broken | 90.0% | ≥ 95% | **no** | 100 |" in as_markdown(rows)


def test_the_same_seed_gives_the_same_table():
    assert measure(4, seed=9, parts=["margins"]) == measure(4, seed=9, parts=["margins"])

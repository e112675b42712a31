"""The promises of the verdict, in small: `python -m benchmarks.truth` is the same in full."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.synthetic.truth import (
    BROKEN,
    PROMISES,
    Guard,
    Row,
    as_markdown,
    collapse_rows,
    judging_once,
    learning,
    margin_rows,
    measure,
    verdicts_on,
)

LEAST = {"pass": 7, "harmful": 6}
"""Of eight models: a promise of nearly all of them."""


def found(rows, what: str) -> float:
    (row,) = [row for row in rows if row.what == what]
    return row.measured


@pytest.fixture(scope="module", autouse=True)
def _once() -> Iterator[None]:
    with judging_once():
        yield


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: f"{promise.what}: {promise.says}")
def test_the_verdict_says_what_is_true_of_a_model(promise):
    verdicts = verdicts_on(random.Random(2), promise, churn=0.05, violates=0.0, trials=8)
    kept = sum(map(promise.kept, verdicts))
    said = [verdict.sentence for verdict in verdicts]
    if promise.at_most is not None:
        assert kept <= round(8 * promise.at_most), said
    else:
        assert kept >= LEAST[promise.says], said


def test_a_rise_of_a_half_is_shown_with_twenty_prompts_and_never_with_three():
    assert sum(learning(random.Random(3), 20, effect=0.5, flip=0.03, trials=40)) >= 37
    assert not any(learning(random.Random(3), 3, effect=0.7, flip=0.0, trials=20))


@pytest.mark.parametrize(("kept", "harm"), [(33, 0.0), (0, 0.2)])
def test_forty_eight_items_tell_a_loss_of_a_fifth_from_flips_of_eight_percent(kept, harm):
    """The items of the quick size."""
    quick = Guard("capability_change", 48, rate=0.5, churn=0.08, flips=True)
    passes = quick.grades(random.Random(4), harm, trials=40).count("pass")

    assert passes >= kept if harm == 0 else passes == 0


@pytest.mark.parametrize("violated", [0.1, 0.5])
def test_forty_prompts_tell_a_perfect_learner_from_harm_whatever_was_violated_before(violated):
    guard = Guard("over_application", 40, rate=violated, churn=0.1)

    assert guard.grades(random.Random(5), 0.0, trials=200).count("pass") >= 186
    harmed = guard.grades(random.Random(5), 0.2, trials=200)
    assert harmed.count("fail") >= 160
    assert harmed.count("pass") == 0


def test_margins():
    rows = list(margin_rows(random.Random(5), trials=40))

    assert found(rows, "margin +0 nats, 10 pairs: shown") <= 0.15
    assert found(rows, "margin +3 nats, 10 pairs: shown") >= 0.9


def test_every_kind_of_collapse_is_caught_and_brevity_is_none():
    rows = list(collapse_rows(random.Random(7), trials=2))

    for name in BROKEN:
        assert found(rows, f"neutral answers, {name}: caught") == 1, name
    assert found(rows, "only concise: alerts") == 0
    assert found(rows, "only concise: harmful") == 0


def test_a_broken_promise_is_said():
    rows = [
        Row("kept", 4, 100, at_most=0.05),
        Row("in doubt", 94, 100, at_least=0.95),
        Row("broken", 80, 100, at_least=0.95),
    ]

    assert [row.met for row in rows] == [True, False, False]
    assert [row.broken for row in rows] == [False, False, True]
    assert "| in doubt | *94 % (88–97)* | ≥ 95% | in doubt | 100 |" in as_markdown(rows)
    assert "| broken | **80 % (71–87)** | ≥ 95% | **no** | 100 |" in as_markdown(rows)


def test_the_same_seed_gives_the_same_table():
    assert measure(4, seed=9, parts=["margins"]) == measure(4, seed=9, parts=["margins"])

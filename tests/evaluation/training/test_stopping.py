"""Runs that end before their last step, and those that must not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from claas_assets.evaluation.config import Thresholds, load_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.runs.results import score
from claas_assets.evaluation.storage.records import (
    CollapseStats,
    DegenerateStats,
    EvalSnapshot,
    Message,
    SnapshotStats,
    Transcript,
    TranscriptMetadata,
    UnitStats,
    judged,
)
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.training.stages import ensure_adapter
from claas_assets.evaluation.training.stopping import stop_after
from claas_assets.evaluation.verdict.ruling import judge as judge_scores
from tests.fake_claas.model import Temper
from tests.synthetic.records import step_record

ANSWERS = 14  # ten trained prompts and the four public probes, as every step asks them
RUNS = 400


def units(loops):
    scores = {str(number): float(loop) for number, loop in enumerate(loops)}
    return UnitStats(n=len(scores), mean=sum(scores.values()) / max(1, len(scores)), interval=None, scores=scores)


def state(loops, **collapse):
    degenerate = DegenerateStats(on_preference=units(loops[:10]), elsewhere=units(loops[10:]))
    stats = SnapshotStats(degenerate=degenerate, collapse=CollapseStats(**collapse) if collapse else None)
    return EvalSnapshot(stats=stats)


def stopped_at(baseline, states, **keys):
    """The first state after which the run ends, counted from 0, and why; None where it goes on to its end."""
    config, earlier = load_config({"stop_on_harm": True, **keys}), []
    for step, now in enumerate(states):
        stop = stop_after(config, baseline, earlier, now, step_s=1.0)
        if stop is not None:
            return step, stop
        earlier.append(step_record(step, now))
    return None


def churned(chance, loops, rate, churn):
    return [chance.random() < rate if chance.random() < churn else loop for loop in loops]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_a_model_that_is_not_harmed_is_stopped_in_at_most_one_run_of_twenty(rate):
    chance, false = random.Random(f"unharmed {rate}"), 0
    for _ in range(RUNS):
        first = [chance.random() < rate for _ in range(ANSWERS)]
        states = [state(churned(chance, first, rate, 0.3)) for _ in range(20)]
        false += stopped_at(state(first), states) is not None
    assert false <= 0.05 * RUNS


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_a_model_that_breaks_is_stopped_at_the_second_snapshot_of_it(rate):
    chance, in_time = random.Random(f"broken {rate}"), 0
    for _ in range(RUNS):
        first = [chance.random() < rate for _ in range(ANSWERS)]
        whole = [state(churned(chance, first, rate, 0.3)) for _ in range(5)]
        broken = [state([chance.random() < 0.95 for _ in range(ANSWERS)]) for _ in range(3)]
        stop = stopped_at(state(first), [*whole, *broken])
        in_time += stop is not None and 5 <= stop[0] <= 6
    assert in_time >= 0.9 * RUNS


def looping(count):
    return state([number < count for number in range(ANSWERS)])


def test_a_rise_that_stays_counts_where_the_untrained_model_does_not_loop_itself():
    assert stopped_at(looping(0), [looping(3), looping(3)]) is not None
    assert stopped_at(looping(0), [looping(3), looping(2), looping(3)]) is None
    assert stopped_at(looping(5), [looping(8), looping(8)]) is None  # as far as churn goes there
    assert stopped_at(looping(5), [looping(11), looping(11)]) is not None


def test_one_bad_snapshot_between_good_ones_ends_nothing():
    good, bad = state([False] * ANSWERS), state([True] * ANSWERS)
    assert stopped_at(good, [good, bad, good, bad, good]) is None
    step, stop = stopped_at(good, [good, bad, bad, good])
    assert (step, stop.kind) == (2, "harm")
    assert stop.reason.startswith("100% more of the answers are loops or nothing")


def test_an_extreme_alert_counts_over_the_snapshots_that_measure_collapse():
    good = [False] * ANSWERS
    plain, low = state(good), state(good, entropy_ratio=0.1)
    step, stop = stopped_at(plain, [low, plain, plain, low, plain])
    assert (step, stop.kind) == (3, "harm")
    assert "token entropy is 0.10" in stop.reason
    assert stopped_at(plain, [low, plain, state(good, rep4_rise=0.9)]) is None  # another alert than the one before


def test_without_the_key_nothing_stops():
    good, bad = state([False] * ANSWERS), state([True] * ANSWERS)
    assert stopped_at(good, [bad, bad, bad], stop_on_harm=False) is None


def judge(made):
    scores = score(PreferenceFolder(made.folder).training(), PreferenceSequence.of(made.preference))
    return judge_scores(scores, Thresholds())


QUICKLY = {"temper": Temper(full_after=8)}


@pytest.mark.parametrize("mode", ["embedded", "tinker"])
def test_what_is_learned_ends_the_run_with_a_full_snapshot_and_a_verdict(training, mode):
    made = training(mode, fake_settings=QUICKLY, num_steps=9, batch_size=4, metrics=["compliance"])
    made.run(stop_when_learned=2)
    ended = len(made.steps)
    assert ended < 9
    assert [step["eval"]["snapshot"] for step in made.steps] == ["light"] * (ended - 1) + ["full"]
    assert made.steps[-1]["stopped"]["kind"] == "learned"
    ruling = judge(made)
    assert ruling.outcome != "unfinished"
    assert f", stopped after step {ended} of 9: " in ruling.sentence
    assert judged(ruling, ended, 9) is ruling


def test_a_stopped_run_stays_stopped_until_its_key_is_taken_away(training):
    made = training(fake_settings=QUICKLY, num_steps=6, batch_size=4, metrics=["compliance"])
    made.run(stop_when_learned=1)
    ended, fed = len(made.steps), len(made.fake.log.bodies("/v1/feedback"))
    made.run(stop_when_learned=1)
    assert (len(made.steps), len(made.fake.log.bodies("/v1/feedback"))) == (ended, fed)
    made.run()
    assert len(made.steps) == 6
    assert made.steps[-1]["stopped"] is None
    assert judge(made).stopped is None


def tokens_of(made):
    """Generated tokens, as the files tell them."""
    baseline = PreferenceFolder(made.folder).training().baseline
    states = [baseline.model_dump(), *(step["eval"] for step in made.steps)]
    asked = [answer["metadata"] for state in states for answer in state["rollouts"]]
    rollouts = [answer["metadata"] for step in made.steps for answer in step["rollout_batch"]]
    own = [each for each in asked if each["kind"] == "generate" and each["asked_as"] is None]
    return sum(each["completion_tokens"] for each in (*own, *rollouts))


def test_a_budget_of_tokens_holds_back_what_the_last_snapshot_takes(training):
    whole = training(num_steps=6, batch_size=4, metrics=["compliance"])
    whole.run()
    budget = int(0.8 * tokens_of(whole))
    made = training("modal", num_steps=6, batch_size=4, metrics=["compliance"])
    made.run(max_tokens=budget)
    assert 1 <= len(made.steps) < 6
    assert made.steps[-1]["stopped"]["kind"] == "budget"
    assert made.steps[-1]["eval"]["snapshot"] == "full"
    assert tokens_of(made) <= budget


def test_a_budget_of_minutes_ends_a_run(training):
    made = training(num_steps=4, batch_size=2, metrics=["compliance"])
    made.run(max_minutes=1e-6)
    assert len(made.steps) == 1
    assert "max_minutes=1e-06" in judge(made).sentence


def test_a_model_that_breaks_in_training_is_stopped_and_its_verdict_says_so(training):
    broken = {"temper": Temper(collapses_after=8)}
    made = training(fake_settings=broken, num_steps=9, batch_size=4, metrics=["compliance", "general"])
    made.run(stop_on_harm=True)
    assert len(made.steps) <= 4
    assert made.steps[-1]["stopped"]["kind"] == "harm"
    assert judge(made).sentence.startswith(f"Harmful, stopped after step {len(made.steps)} of 9: ")


def test_a_sequence_runs_to_its_end(training):
    made = training(num_steps=2)
    context = made.context(stop_when_learned=1)
    phases = (*context.sequence.phases, *context.sequence.phases)
    with pytest.raises(ConfigError, match="is a sequence"):
        ensure_adapter(replace(context, sequence=replace(context.sequence, phases=phases)), resuming=True)


def answered(count, **metadata):
    def one(number):
        own = TranscriptMetadata(key=f"compliance/probe_prompts/{number}", kind="generate", **metadata)
        return Transcript(metric="compliance", messages=[Message(role="user", content="?")], metadata=own)

    return EvalSnapshot(rollouts=[one(number) for number in range(count)], duration_s=10.0)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"completion_tokens": 10, "max_tokens": 99}, None),
        ({"max_tokens": 99}, "tokens were generated"),  # not counted: as many as it may have
        ({}, "counts no tokens"),
    ],
)
def test_tokens_that_are_not_counted_are_not_taken_for_none(metadata, words):
    config = load_config({"max_tokens": 1000})
    stop = stop_after(config, answered(8, **metadata), [], answered(4, **metadata), step_s=1.0)
    assert (stop is None) if words is None else words in stop.reason


def test_where_another_job_measured_the_baseline_a_full_snapshot_is_not_thought_to_take_no_time():
    shared = answered(30).model_copy(update={"shared_from": "an-earlier-job", "duration_s": 0.5})
    assert stop_after(load_config({"max_minutes": 1}), shared, [], answered(3), step_s=12.0).kind == "budget"
    assert stop_after(load_config({"max_minutes": 3}), shared, [], answered(3), step_s=12.0) is None

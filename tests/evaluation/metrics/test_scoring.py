"""Gathering probes, scoring a snapshot, scoring again, and the tables made of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from claas_assets.evaluation.config import METRICS
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.metrics import METRIC_NAMES, get_metric
from claas_assets.evaluation.metrics.compliance import ComplianceMetric
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import gather_probes, rescore, score_snapshot
from claas_assets.evaluation.storage.records import METRIC_COLUMNS, EvalSnapshot, StepRecord, Unmeasured
from claas_assets.evaluation.verdict.metric_table import collapse_series, metric_rows
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import step_record
from tests.synthetic.transcripts import Asking, Voice

ASKED = synthetic.preference(held_out=6)
MOST = ["logprob", "compliance", "collapse"]


def transcripts(chance, *, baseline, own, voice=None):
    truth = synthetic.untrained(chance, synthetic.all_prompts(ASKED))
    return [
        *synthetic.margins(ASKED, [chance.gauss(0, 2) for _ in ASKED.logprob_pairs]),
        *synthetic.compliance(ASKED, truth, Asking(chance, 0.03), baseline=baseline),
        *synthetic.collapse(chance, voice or Voice(), own),
    ]


@pytest.fixture(scope="module")
def run() -> tuple[EvalSnapshot, list[StepRecord]]:
    chance = random.Random(11)
    own = synthetic.character(chance)

    def scored(answers, baseline):
        return score_snapshot(answers, ScoringContext(ASKED, baseline), size="full", metrics=MOST)

    baseline = scored(transcripts(chance, baseline=True, own=own), None)
    healthy = transcripts(chance, baseline=False, own=own)
    looping = transcripts(chance, baseline=False, own=own, voice=Voice(looping=0.9))
    steps = [
        step_record(0, scored(healthy, baseline)),
        step_record(1, scored(looping, baseline)),
    ]
    return baseline.model_copy(update={"requests": 99, "duration_s": 3.5}), steps


def test_the_registry_is_the_configuration():
    assert METRIC_NAMES == METRICS
    assert [get_metric(name).name for name in METRICS] == list(METRICS)


def test_an_unknown_metric_names_those_that_exist():
    with pytest.raises(ConfigError, match=r"'fluency'.*logprob, compliance, general, collapse"):
        get_metric("fluency")


@pytest.mark.parametrize(("size", "at"), [("full", -1), ("light", 0), ("full", 19)])
def test_keys_are_unique_and_begin_with_their_metric(size, at):
    probes = gather_probes(METRICS, ProbePlan(ASKED, size, at, collapse_due=True, seed=1, max_tokens=256))

    assert len({probe.key for probe in probes}) == len(probes)
    assert {probe.metric for probe in probes} == set(METRICS)


def test_a_key_twice_is_refused():
    plan = ProbePlan(ASKED, "light", 0, collapse_due=False, seed=1, max_tokens=256)

    with pytest.raises(ValueError, match="compliance/probe_prompts/0"):
        gather_probes(["compliance", "compliance"], plan)


def test_a_metric_that_was_not_asked_is_null_and_nothing_is_unmeasured(run):
    baseline, _ = run
    margins = [t for t in baseline.rollouts if t.metric == "logprob"]

    found = score_snapshot(margins, ScoringContext(ASKED, baseline), size="light", metrics=MOST)

    assert found.preference_compliance is None
    assert found.collapse is None
    assert found.stats.compliance is None
    assert found.unmeasured == {}
    assert found.versions.keys() == {"preference", "logprob", "degenerate"}


def test_versions_name_metrics_and_prompt_sets(run):
    assert run[0].versions.keys() == {
        "preference", "logprob", "compliance", "collapse", "neutral_prompts", "fixed_texts", "degenerate",
    }  # fmt: skip
    assert all(version >= 1 for version in run[0].versions.values())


def test_every_null_has_a_reason(run):
    baseline, steps = run
    for snapshot in (baseline, *(line.eval for line in steps)):
        assert snapshot.logprob_margin is not None
        assert snapshot.collapse is not None
        for prefix, record in (("logprob_margin", snapshot.logprob_margin), ("collapse", snapshot.collapse)):
            for name, value in record.model_dump().items():
                assert (value is None) == (f"{prefix}.{name}" in snapshot.unmeasured), name


def test_scored_again_without_the_inline_numbers_it_is_the_same(run):
    baseline, steps = run
    bare = EvalSnapshot(rollouts=baseline.rollouts, snapshot="full", requests=99, duration_s=3.5)
    bare_steps = [s.model_copy(update={"eval": EvalSnapshot(rollouts=s.eval.rollouts, snapshot="full")}) for s in steps]

    again, lines = rescore(bare, bare_steps, {ASKED.name: ASKED}, MOST)

    assert again == baseline
    assert lines == steps


def test_scored_again_it_survives_the_files(run):
    baseline, steps = run
    from_file = EvalSnapshot.model_validate_json(baseline.model_dump_json())
    lines = [StepRecord.model_validate_json(line.model_dump_json()) for line in steps]

    again, _ = rescore(from_file, lines, {ASKED.name: ASKED}, MOST)

    assert again == baseline


def test_a_changed_verifier_changes_the_score_and_nothing_else(run):
    baseline, steps = run
    stricter = ASKED.model_copy(
        update={"version": 2, "verifier": {**ASKED.verifier, "name": "nobody"}},
    )

    again, lines = rescore(baseline, steps, {stricter.name: stricter}, MOST)

    assert again.preference_compliance == 0
    assert again.requests == 99
    assert again.duration_s == 3.5
    assert again.logprob_margin == baseline.logprob_margin
    assert again.rescored_from == {"preference": 1}
    assert lines[0].timing_s == steps[0].timing_s


def test_a_table_scored_under_two_versions_says_so(run, monkeypatch):
    baseline, steps = run
    monkeypatch.setattr(ComplianceMetric, "version", 9)

    again, lines = rescore(*rescore(baseline, steps, {ASKED.name: ASKED}, MOST), {ASKED.name: ASKED}, MOST)
    rows = metric_rows("r", "identity", again, lines)

    assert {row["version"] for row in rows if row["metric"] == "compliance"} == {
        f"9 (was {baseline.versions['compliance']})"
    }
    assert {row["version"] for row in rows if row["metric"] == "logprob"} == {str(baseline.versions["logprob"])}


def test_the_table_is_tidy_and_complete(run):
    baseline, steps = run
    rows = metric_rows("run-1", "identity", baseline, steps)
    by_name = {(row["step"], row["quantity"]): row for row in rows}

    assert all(tuple(row) == METRIC_COLUMNS for row in rows)
    assert len(by_name) == len(rows)
    assert {row["phase"] for row in rows if row["step"] == -1} == {"baseline"}
    held = by_name[1, "compliance.heldout_prompts"]
    assert held["n"] == 6
    assert held["lower"] <= held["value"] <= held["upper"]
    assert by_name[1, "logprob_margin.margin"]["unit"] == "nats"
    assert by_name[1, "collapse.rep4_rise"]["value"] > 0.2
    assert by_name[-1, "compliance.ceiling"]["value"] is not None
    assert (1, "compliance.ceiling") not in by_name


def test_what_was_not_measured_has_an_empty_value_and_a_reason(run):
    baseline, steps = run
    rows = metric_rows("run-1", "identity", baseline, steps)
    empty = [row for row in rows if row["value"] is None]

    assert empty
    assert all(row["reason"] for row in empty)
    assert not any(row["reason"] for row in rows if row["value"] is not None)


def test_the_collapse_series_has_its_alerts_with_their_steps(run):
    record = collapse_series("run-1", "identity", *run)

    assert [point.step for point in record.series] == [-1, 0, 1]
    assert any(alert.startswith("step 1: loops: ") for alert in record.alerts)
    assert not any(alert.startswith("step 0") for alert in record.alerts)


def test_a_prompt_has_one_seed_in_every_state_where_probes_are_sampled() -> None:
    plans = [
        ProbePlan(ASKED, "full", step, collapse_due=True, seed=1, max_tokens=256, temperature=0.7) for step in (-1, 7)
    ]
    states = [{probe.key: probe for probe in gather_probes(METRICS, plan)} for plan in plans]
    once = [key for key in states[1] if states[1][key].kind == "generate" and "/sample/" not in key]
    assert all(states[0][key] == states[1][key] for key in once)
    assert {states[1][key].temperature for key in once} == {0.7}
    assert len({states[1][key].seed for key in once}) == len({states[1][key].messages for key in once})


def test_a_quick_snapshot_asks_less_and_never_a_prompt_of_its_own() -> None:
    plan = ProbePlan(ASKED, "full", 3, collapse_due=True, seed=1, max_tokens=256)
    standard = {probe.key: probe for probe in gather_probes(METRICS, plan)}
    quick = {probe.key: probe for probe in gather_probes(METRICS, replace(plan, snapshot_size="quick"))}
    assert quick.items() <= standard.items()
    assert sum(key.startswith("general/items/") for key in quick) == 48
    assert sum(key.startswith("compliance/over_application/") for key in quick) <= 20


def test_a_mean_that_misses_more_than_a_fifth_of_its_units_is_null_everywhere_with_its_reason(run):
    baseline, _ = run
    error = Unmeasured(kind="failed", reason="504 from the gateway")

    def lost(transcript):
        if not transcript.key.startswith(("compliance/probe_prompts/", "collapse/neutral/", "logprob/")):
            return transcript
        if transcript.key.split("/")[-1] in ("0", "1", "positive", "sample") and "neutral" not in transcript.key:
            return transcript
        metadata = transcript.metadata.model_copy(update={"error": error})
        return transcript.model_copy(update={"metadata": metadata, "messages": transcript.messages[:1]})

    found = score_snapshot(
        [lost(t) for t in baseline.rollouts], ScoringContext(ASKED, baseline), size="full", metrics=MOST
    )

    trained = found.stats.compliance.sets["probe_prompts"]
    assert (trained.n, trained.mean, trained.interval, trained.pass_rate) == (2, None, None, None)
    assert found.preference_compliance is None
    assert "only 2 of 10 units were measured" in found.unmeasured["preference_compliance"].reason
    assert "504 from the gateway" in found.unmeasured["preference_compliance"].reason
    assert found.logprob_margin.margin is found.logprob_margin.positive_logprob is None
    assert found.stats.collapse.entropy.mean is found.stats.collapse.mean_length is None
    rows = {row["quantity"]: row for row in metric_rows("r", "identity", found, [])}
    for name in (
        "preference_compliance",
        "logprob_margin.positive_logprob",
        "collapse.entropy",
        "collapse.mean_length",
    ):
        assert rows[name]["value"] is None
        assert "504 from the gateway" in rows[name]["reason"], name


@pytest.mark.parametrize("wrong", [-9999.0, -1.7e308, 0.5, float("nan"), float("-inf")])
def test_what_cannot_be_a_logprob_is_unmeasured_with_the_reason_and_never_a_margin(run, wrong):
    baseline, _ = run

    def spoiled(transcript):
        if transcript.metadata.kind != "score":
            return transcript
        return transcript.model_copy(
            update={"metadata": transcript.metadata.model_copy(update={"logprobs": [wrong] * 2})}
        )

    found = score_snapshot(
        [spoiled(t) for t in baseline.rollouts], ScoringContext(ASKED, None), size="full", metrics=MOST
    )

    assert found.logprob_margin.margin is None
    assert "not the logarithm of a probability" in found.unmeasured["logprob_margin.margin"].reason
    assert found.stats.collapse.fixed_text.mean is None
    assert "not the logarithm of a probability" in found.unmeasured["collapse.fixed_text"].reason

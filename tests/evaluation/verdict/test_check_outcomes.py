"""What the asset checks conclude, on the records of the committed example and on changed copies of them."""

from pathlib import Path

import pytest

from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.verdict import check_outcomes as outcomes

EXAMPLE = Path(__file__).parents[2] / "data" / "example"


def verdict(preference="identity", **changes):
    return PreferenceFolder(EXAMPLE / preference).verdict().model_copy(update=changes)


def with_criterion(record, name, **changes):
    criterion = record.criteria[name].model_copy(update=changes)
    return record.model_copy(update={"criteria": {**record.criteria, name: criterion}})


def asking(training, num_steps):
    config = {**training.adapter.config, "num_steps": num_steps}
    return training.model_copy(update={"adapter": training.adapter.model_copy(update={"config": config})})


def test_steps_that_are_missing_are_severe_and_interrupted_ones_are_not():
    steps = PreferenceFolder(EXAMPLE / "identity").training()
    assert outcomes.steps_complete(steps).passed
    missing = outcomes.steps_complete(asking(steps, 9))
    assert (missing.passed, missing.severe) == (False, True)
    assert "6 of 9" in missing.said
    cut = steps.steps[2].model_copy(update={"interrupted": True})
    interrupted = outcomes.steps_complete(steps.model_copy(update={"steps": [*steps.steps[:2], cut, *steps.steps[3:]]}))
    assert (interrupted.passed, interrupted.severe) == (False, False)
    assert "step 2" in interrupted.said


@pytest.mark.parametrize(("step", "severe"), [(-1, True), (0, False), (5, True)])
def test_a_failed_probe_is_severe_where_it_decides(step, severe):
    table = PreferenceFolder(EXAMPLE / "identity").metric_table()
    assert outcomes.no_failed_probes(table).passed
    row = next(row for row in table.rows if row["step"] == step)
    row |= {"value": None, "reason": "failed: the deployment answered 500"}
    found = outcomes.no_failed_probes(table)
    assert (found.passed, found.severe, found.numbers["failed_numbers"]) == (False, severe, 1)
    assert "answered 500" in found.lines[0]


def test_what_this_engine_cannot_give_is_no_failed_probe():
    table = PreferenceFolder(EXAMPLE / "identity").metric_table()
    table.rows[3] |= {"value": None, "reason": "unavailable: no logprobs"}
    assert outcomes.no_failed_probes(table).passed


def test_some_answers_that_are_missing_do_not_pass():
    table = PreferenceFolder(EXAMPLE / "identity").metric_table()
    next(row for row in table.rows if row["value"] is not None)["missing"] = 2
    assert not outcomes.no_failed_probes(table).passed


def test_an_alert_is_severe_where_the_model_is_still_collapsed():
    record = PreferenceFolder(EXAMPLE / "identity").collapse()
    assert outcomes.no_collapse_alert(record).passed
    earlier = outcomes.no_collapse_alert(record.model_copy(update={"alerts": ["step 0: loops: …"]}))
    assert (earlier.passed, earlier.severe, list(earlier.lines)) == (False, False, ["step 0: loops: …"])
    stats = record.series[-1].stats.model_copy(update={"alerts": ["loops: …"]})
    last = record.series[-1].model_copy(update={"stats": stats})
    now = record.model_copy(update={"alerts": ["step 5: loops: …"], "series": [*record.series[:-1], last]})
    assert outcomes.no_collapse_alert(now).severe


def test_collapse_that_was_not_measured_does_not_pass():
    record = PreferenceFolder(EXAMPLE / "identity").collapse()
    found = outcomes.no_collapse_alert(record.model_copy(update={"series": record.series[:1]}))
    assert not found.passed
    assert found.said.startswith("not judged")


@pytest.mark.parametrize(
    "check",
    [
        outcomes.capability_retained,
        outcomes.preference_learned,
        outcomes.no_over_application,
        outcomes.baseline_has_headroom,
    ],
)
def test_a_metric_that_was_not_asked_is_nothing_to_judge_and_no_red_check(check):
    asked = {"logprob_margin": verdict().criteria["logprob_margin"]}
    found = check(verdict(criteria=asked))
    assert (found.passed, found.severe) == (True, False)
    assert "not asked for" in found.said
    record = PreferenceFolder(EXAMPLE / "identity").collapse()
    assert outcomes.no_collapse_alert(record.model_copy(update={"series": []})).passed


@pytest.mark.parametrize(
    ("check", "criterion"),
    [(outcomes.capability_retained, "capability_change"), (outcomes.no_over_application, "over_application")],
)
@pytest.mark.parametrize(
    ("grade", "passed", "severe"),
    [("pass", True, False), ("marginal", False, False), ("fail", False, True), ("unavailable", False, False)],
)
def test_a_criterion_passes_warns_or_is_an_error_by_its_grade(check, criterion, grade, passed, severe):
    found = check(with_criterion(verdict(), criterion, grade=grade, reason="why"))
    assert (found.passed, found.severe) == (passed, severe)
    assert found.said.startswith("not judged: why") == (grade == "unavailable")


@pytest.mark.parametrize(
    ("changes", "passed", "severe"),
    [
        ({}, True, False),
        ({"evidence": "shown", "grade": "marginal"}, False, False),
        ({"evidence": "within_noise", "grade": "fail"}, False, True),
        ({"evidence": "worse", "grade": "marginal"}, False, True),
        ({"evidence": "within_noise", "grade": "pass", "baseline": 0.95}, False, False),
        ({"value": None, "grade": "inconclusive", "reason": "no answers"}, False, False),
    ],
)
def test_a_preference_is_learned_where_the_change_is_shown_and_passes(changes, passed, severe):
    found = outcomes.preference_learned(with_criterion(verdict("concise"), "obeyed", **changes))
    assert (found.passed, found.severe) == (passed, severe)


def test_headroom_is_read_from_the_criterions_own_threshold():
    assert outcomes.baseline_has_headroom(verdict("identity")).passed
    complying = with_criterion(verdict("no_emoji"), "obeyed", baseline=0.9)
    assert not outcomes.baseline_has_headroom(complying).passed
    strict = with_criterion(complying, "obeyed", threshold={"pass_at": 0.95, "fail_at": 0.5})
    assert outcomes.baseline_has_headroom(strict).passed


@pytest.mark.parametrize(
    "check", [outcomes.capability_retained, outcomes.preference_learned, outcomes.no_over_application]
)
def test_an_unfinished_verdict_is_not_judged(check):
    found = check(verdict(criteria={}, overall="unfinished", sentence="unfinished: 2 of 6"))
    assert (found.passed, found.severe) == (False, False)
    assert "2 of 6" in found.said

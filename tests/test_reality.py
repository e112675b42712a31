"""Runs of known truth on a deployment: what must be true of each case, and the way through `claas-eval`."""

from __future__ import annotations

import subprocess

import pytest

from claas_assets.evaluation.config import preference_folder
from claas_assets.evaluation.preferences import load_preference, preference_names
from tests.synthetic.reality import PLACEBO, Evaluation, churn_of, evaluate, table, write_placebo
from tests.synthetic.runs import made_preference_run, passing


@pytest.mark.parametrize(
    ("case", "held", "true"),
    [
        ("default", 20, True),
        ("nil", 3, True),
        ("nil", 20, False),
        ("placebo", 3, True),
        ("placebo", 20, False),
        ("broken", 3, False),
    ],
)
def test_what_the_verdict_must_say_of_each_case(case, held, true):
    found = Evaluation(case, 0, made_preference_run(passing(held)))

    assert (found.wrong is None) == true
    assert ("**no**" in table([found])) == (not true)


def test_the_placebo_of_every_shipped_preference_is_a_preference(tmp_path):
    names = preference_names(preference_folder(None))
    for name in names:
        write_placebo(tmp_path, name)

    assert len(names) >= 6
    assert {load_preference(name, tmp_path).feedback_string for name in names} == {PLACEBO}


def test_churn_counts_the_answers_that_changed():
    churn = churn_of(made_preference_run(passing(20)))

    assert churn is not None
    assert 0 < churn.texts_changed <= churn.texts


def test_an_evaluation_of_a_case_is_one_of_claas_eval(fake, tmp_path, monkeypatch, capfd):
    for name in ("HOME", "DAGSTER_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    settings = [
        "mode=local", f"claas_url={fake('local').url}", "openclaw_url=null", "num_steps=1", "batch_size=1",
        "snapshot_size=quick", "metrics=[compliance]",
    ]  # fmt: skip
    try:
        found = evaluate("placebo", "identity", 3, tmp_path, settings)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error}: {capfd.readouterr().err[-3000:]}")

    assert found.run.adapter.config["seed"] == 3
    assert found.run.steps[0].feedback_given == PLACEBO
    assert table([found]).splitlines()[2].startswith("| identity | placebo | 3 |")

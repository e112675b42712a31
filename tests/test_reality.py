"""Runs of known truth on a deployment: what must be true of each case, and the way through `claas-eval`."""

from __future__ import annotations

import subprocess

import pytest

from claas_assets.evaluation.preferences.sequence import PLACEBO
from tests.graph.conftest import FEW, prepare
from tests.synthetic.reality import Evaluation, churn_of, evaluate, table
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


def test_churn_counts_the_answers_that_changed():
    churn = churn_of(made_preference_run(passing(20)))

    assert churn is not None
    assert 0 < churn.texts_changed <= churn.texts


def test_an_evaluation_of_a_case_is_one_of_claas_eval(fake, quick_storage, tmp_path, monkeypatch, capfd):
    prepare(tmp_path, FEW)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    settings = [
        "mode=local", f"claas_url={fake('local').url}", "openclaw_url=null", "num_steps=1", "batch_size=1",
        "snapshot_size=quick", "metrics=[compliance]", "plots=false",
        f"preferences_dir={tmp_path}/preferences",
    ]  # fmt: skip
    try:
        found = evaluate("placebo", "identity", 3, tmp_path, settings)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error}: {capfd.readouterr().err[-3000:]}")

    assert found.run.adapter.config["seed"] == 3
    assert found.run.steps[0].feedback_given == PLACEBO
    assert found.run.verdict.control == "placebo"
    assert table([found]).splitlines()[2].startswith("| identity | placebo | 3 |")

"""The study of the docs, against the fake: it runs its cases once, goes on, and prints their tables."""

from __future__ import annotations

import pytest

from tests.graph.conftest import FEW, prepare
from tests.synthetic import continual_study


@pytest.fixture
def study(fake, quick_storage, tmp_path, monkeypatch, capsys):
    """`study()` runs it, or goes on; returns its exit code and what it printed."""
    prepare(tmp_path, FEW)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(continual_study, "preference_folder", lambda _: tmp_path / "preferences")
    deployment = fake()

    def run(*more):
        few = ["metrics=compliance", "snapshot_size=quick", "batch_size=1", "probe_temperature=0"]
        given = [f"claas_url={deployment.url}", *few, *more]
        code = continual_study.main(["--steps", "1", "--seeds", "1", "--results-dir", str(tmp_path / "evals"), *given])
        return code, capsys.readouterr().out

    run.deployment = deployment
    return run


def test_it_runs_each_case_once_and_prints_the_matrix_of_each(study):
    code, printed = study()
    assert code == 0
    asked = len(study.deployment.log.requests)
    assert study("--tables") == (0, printed)
    assert study() == (0, printed)
    assert len(study.deployment.log.requests) == asked
    assert "| after | identity | concise | no_emoji |" in printed
    assert "| after | no_emoji | concise | identity |" in printed
    assert "Outcomes: 1 control." in printed
    assert "gain over placebo" in printed

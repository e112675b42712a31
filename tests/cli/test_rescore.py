"""`claas-eval rescore`: today's verifiers and thresholds on a run's files, with no deployment anywhere."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.quick_dagster import dagster_home

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path):
    """A folder with one preference of the example as a run, the preference files, and a Dagster home."""
    run = tmp_path / "data" / "evals" / "old-run"
    shutil.copytree(ROOT / "tests" / "data" / "example" / "identity", run / "identity")
    shutil.copytree(ROOT / "preferences", tmp_path / "preferences")
    dagster_home(tmp_path / "home")
    return tmp_path


@pytest.fixture
def rescore(claas_eval, place):
    return lambda *arguments: claas_eval(
        "rescore", *arguments, cwd=place, DAGSTER_HOME=str(place / "home"), COLUMNS="200"
    )


def test_a_changed_verifier_and_threshold_show_up_and_the_table_says_so(place, rescore):
    run, preference = place / "data" / "evals" / "old-run", place / "preferences" / "identity.yaml"
    before = json.loads((run / "identity" / "verdict.json").read_text())
    steps = (run / "identity" / "steps.jsonl").read_bytes()
    text = preference.read_text()
    named = text.replace("version: 3", "version: 4").replace("  name: kuro", "  name: nobody")
    preference.write_text("".join(line for line in named.splitlines(keepends=True) if "aliases" not in line))
    assert preference.read_text() != text

    done = rescore("old-run", "thresholds.logprob_margin.pass_at=500", "plots=false")

    assert done.returncode == 0, done.stderr
    after = json.loads((run / "summary.json").read_text())["identity"]
    assert before["criteria"]["obeyed"]["value"] == 0.25
    assert after["criteria"]["obeyed"]["value"] == 0
    assert after["criteria"]["logprob_margin"]["grade"] == "marginal"
    assert any("preference: scored by version 4" in note for note in after["notes"])
    assert "logprob_margin: {'pass_at': 2.0, 'fail_at': 0.5} then" in done.stdout
    assert f"identity: {after['outcome']}" in done.stdout  # the verdict is said once
    assert "In a browser: claas-eval view data/evals/old-run" in done.stdout
    with open(run / "identity" / "metrics.csv") as file:
        versions = {row["version"] for row in csv.DictReader(file) if row["metric"] == "compliance"}
    assert versions == {"5 (was 1), preference 4 (was 1)"}
    assert (run / "identity" / "steps.jsonl").read_bytes() == steps


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["old-run", "num_steps=3"], 2, ["num_steps", "thresholds", "metadata.json"]),
        (["old-run", "thresholds.speed.pass_at=3"], 2, ["thresholds.speed", "no such key"]),
        (["no-such-run"], 2, ["no-such-run", "data/evals"]),
    ],
)
def test_what_cannot_be_scored_again_is_refused(rescore, arguments, code, words):
    done = rescore(*arguments)

    assert done.returncode == code, done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("metadata.json", '"created": "2', '"created": "0001-01-01T00:00:00+23:59 was 2', "provenance.created"),
        ("steps.jsonl", '"sub_step_count":', f'"sub_step_count":{10**400},"was":', "sub_step_count"),
        ("baseline.json", '"margin":', '"margin": 1e999, "was":', "logprob_margin.margin"),
    ],
)
def test_a_broken_file_is_one_line_that_names_file_and_key(place, rescore, file, old, new, words):
    broken = place / "data" / "evals" / "old-run" / "identity" / file
    text = broken.read_text()
    assert old in text
    broken.write_text(text.replace(old, new))
    done = rescore("old-run", "plots=false")
    assert done.returncode == 1, done.stderr
    assert [word for word in (file, words) if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert "Input should be" not in done.stderr

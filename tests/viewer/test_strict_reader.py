"""A real CLaaS shows data/evals with strict readers: what we write must not break its page.

An unknown key inside `logprob_margin`, `general`, `collapse` or `sdpo_metrics`, a value of summary.json that
is not an object, or a message with null content does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from tests.strict_reader import faults_of_run
from tests.synthetic.example_copies import EXAMPLE


def test_the_example_can_be_read_by_a_real_deployment():
    assert list(EXAMPLE.glob("*/steps.jsonl"))
    assert faults_of_run(EXAMPLE) == []


@pytest.fixture
def written_today(tmp_path) -> Path:
    """The example's records, written again by the code as it is: with every field that it has by now."""
    for folder in sorted(path.parent for path in EXAMPLE.glob("*/metadata.json")):
        training, target = PreferenceFolder(folder).training(), PreferenceFolder(tmp_path / folder.name)
        target.write_adapter(training.adapter)
        target.write_baseline(training.baseline)
        for step in training.steps:
            FileJournal(target.path).append(step)
    RunFolder(tmp_path).write_summary(RunFolder(EXAMPLE).summary())
    return tmp_path


def test_what_is_written_today_can_be_read_by_a_real_deployment(written_today):
    assert faults_of_run(written_today) == []


def test_this_reader_is_strict(written_today):
    path = written_today / "identity" / "baseline.json"
    baseline = json.loads(path.read_text())
    baseline["collapse"]["rep4"] = 0.1
    baseline["rollouts"][0]["messages"][0]["content"] = None
    path.write_text(json.dumps(baseline))
    (written_today / "summary.json").write_text('{"identity": "pass"}')
    assert len(faults_of_run(written_today)) == 3


@pytest.mark.parametrize(
    ("engine", "takes"),
    [(dict.fromkeys(["distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction"], 0.5), True),
     ({"distill_loss": 0.5}, False),
     (dict.fromkeys(["distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction", "step"], 0.5), False)],
)  # fmt: skip
def test_it_takes_the_keys_of_an_engine_and_no_others(written_today, engine, takes):
    path = written_today / "identity" / "steps.jsonl"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps({**json.loads(first), "sdpo_metrics": engine}) + "\n" + rest)
    assert (faults_of_run(written_today) == []) == takes

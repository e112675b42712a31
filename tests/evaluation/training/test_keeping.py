"""`keep_steps`: the adapter's weights at chosen steps, in the run folder."""

from __future__ import annotations

import json
import zipfile

import pytest

from claas_assets.cli import export
from claas_assets.evaluation.errors import ConfigError
from tests.fake_claas.faults import status

EXPORT, FEEDBACK = "/v1/lora/export", "/v1/feedback"
LIGHT = {"batch_size": 2, "metrics": ["compliance"]}


def files(made):
    folder = made.folder / "adapters"
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_the_steps_asked_for_and_the_last_are_kept(training):
    made = training(num_steps=3, **LIGHT)
    made.run(keep_steps=[0])
    assert files(made) == ["step-0.zip", "step-2.zip"]
    assert zipfile.is_zipfile(made.folder / "adapters" / "step-0.zip")
    asked = [request.path for request in made.fake.log.requests if request.path in (EXPORT, FEEDBACK)]
    assert asked == [FEEDBACK, EXPORT, FEEDBACK, FEEDBACK, EXPORT]  # each before the next update


def test_none_is_kept_that_was_not_asked_for(training):
    made = training(num_steps=1, **LIGHT)
    made.run()
    assert files(made) == []
    assert made.fake.log.count(EXPORT) == 0


def test_on_tinker_the_path_of_the_checkpoint_is_kept(training, capsys):
    made = training("tinker", num_steps=2, **LIGHT)
    made.run(keep_steps=[1])
    assert files(made) == ["step-1.json"]
    kept = json.loads((made.folder / "adapters" / "step-1.json").read_text())
    assert kept["model_path"] == made.fake.deployment.sampler_path
    assert export.run([str(made.folder.parent), "identity"]) == 0
    assert kept["model_path"] in capsys.readouterr().out


def test_a_refused_export_is_said_and_made_up_for_without_training_again(training):
    made = training(num_steps=1, **LIGHT)
    made.fake.faults.add(EXPORT, status(404, "no such export"))
    made.run(keep_steps=[0])
    assert (files(made), len(made.steps)) == ([], 1)
    made.run(keep_steps=[0])
    assert files(made) == ["step-0.zip"]
    assert made.fake.log.count(FEEDBACK) == 1


def test_a_kept_adapter_is_written_to_a_file_once(training, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = training(num_steps=3, **LIGHT)
    made.run(keep_steps=[0])
    run = str(made.folder.parent)
    assert export.run([run, "identity"]) == 0
    assert zipfile.is_zipfile(tmp_path / "identity-step-3.zip")
    assert "after step 3" in capsys.readouterr().out
    assert export.run([run, "identity", "--step", "1", "--to", "first.zip"]) == 0
    for arguments, words in ((["--step", "2"], "it does after 1, 3"), (["--to", "first.zip"], "is there already")):
        with pytest.raises(ConfigError, match=words):
            export.run([run, "identity", *arguments])


def test_a_run_that_kept_nothing_says_how_to(training):
    made = training(num_steps=1, **LIGHT)
    made.run()
    with pytest.raises(ConfigError, match="keep_steps"):
        export.run([str(made.folder.parent), "identity"])

"""A baseline that could not be measured is no baseline."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.errors import DeploymentError, RunFolderError
from tests.fake_claas.faults import body, status

CHAT = "/v1/chat/completions"
NO_CREDIT = body(b'{"error": {"message": "insufficient credit", "type": "billing"}}')


@pytest.mark.parametrize("refusal", [status(404, "no such route"), status(401, "wrong token"), NO_CREDIT])
def test_a_set_that_failed_as_a_whole_ends_the_run_in_the_servers_words_and_is_asked_again(training, refusal):
    made = training(metrics=["compliance"], num_steps=1)
    made.fake.faults.add(CHAT, *[refusal] * 1000)
    with pytest.raises(DeploymentError, match=r"none of the \d+ probes .*(no such route|wrong token|credit)"):
        made.run()
    assert not (made.folder / "baseline.json").exists()
    made.fake.faults._waiting.clear()
    made.run()
    assert json.loads((made.folder / "baseline.json").read_text())["preference_compliance"] is not None
    assert [step["step"] for step in made.steps] == [0]


def test_while_nothing_was_trained_a_baseline_with_failed_probes_is_measured_again(training):
    made = training(metrics=["compliance"], num_steps=0)
    made.fake.faults.add(CHAT, status(400, "not now"))
    made.run()
    assert "not now" in (made.folder / "baseline.json").read_text()
    made.run(num_steps=1)
    assert "not now" not in (made.folder / "baseline.json").read_text()
    before = (made.folder / "baseline.json").read_bytes()
    made.run(num_steps=2)
    assert (made.folder / "baseline.json").read_bytes() == before


def test_fewer_steps_than_are_recorded_are_refused(training):
    made = training(num_steps=2)
    made.run()
    with pytest.raises(RunFolderError, match=r"num_steps is 1, and 2 steps are recorded"):
        made.run(num_steps=1)
    made.run(num_steps=2)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("baseline.json", lambda text: "{}", "holds no measurement"),
        ("metadata.json", lambda text: text.replace('"num_steps": 1', '"num_steps": "many"'), "num_steps is 'many'"),
        ("steps.jsonl", lambda text: text.replace('"preference":"identity"', '"preference":"other"', 1), "'other'"),
    ],
)
def test_files_that_are_not_this_runs_are_refused_in_words(training, file, change, words):
    made = training(num_steps=1)
    made.run()
    path = made.folder / file
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    with pytest.raises(RunFolderError, match=words):
        made.run(num_steps=2)

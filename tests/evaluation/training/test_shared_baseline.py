"""Jobs of a sweep that differ in nothing above the baseline measure it once."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.evaluation.training.conftest import Training
from tests.fake_claas.faults import body

CHAT = "/v1/chat/completions"
SWEPT = {"sweep_id": "s", "metrics": ["logprob", "compliance"], "num_steps": 0}
OTHER_ANSWER = body(
    b'{"choices": [{"message": {"role": "assistant", "content": "Something else."}}], "usage": {"prompt_tokens": 3, '
    b'"completion_tokens": 3}}'
)


@pytest.fixture
def job(fake, tmp_path, monkeypatch):
    """`job(0, **changes)`: job 0 of the sweep `s`, evaluated; all on one deployment."""
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path / "locks"))
    deployment = fake("embedded")

    def evaluate(number, **changes):
        made = Training(deployment, tmp_path / f"s-{number:02d}" / "identity", "embedded", **{**SWEPT, **changes})
        made.run()
        return made

    return evaluate


def baseline(made):
    return json.loads((made.folder / "baseline.json").read_text("utf-8"))


def test_a_job_that_differs_below_the_baseline_takes_it_and_asks_a_few_questions_again(job):
    first = job(0)
    measured, asked = baseline(first), first.fake.log.count(CHAT)
    second = job(1, training={"learning_rate": 1e-4}, batch_size=3, num_steps=1)
    shared = baseline(second)
    assert measured["shared_from"] is None
    assert shared["shared_from"] == "s-00"
    assert shared["requests"] == 7  # the six prompts of the noise floor, and a given answer
    assert shared["duration_s"] is None
    changed = {"shared_from", "requests", "duration_s"}
    assert {k: v for k, v in shared.items() if k not in changed} == {
        k: v for k, v in measured.items() if k not in changed
    }
    assert second.fake.log.count(CHAT) - asked < asked
    assert second.steps[0]["sub_step_count"] == 4
    assert job(2, training={"learning_rate": 2e-4}).folder.parent.name == "s-02"
    assert PreferenceFolder(second.folder).baseline().shared_from == "s-00"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"lora": {"r": 16}},
        {"probe_max_tokens": 64},
        {"snapshot_size": "quick"},
        {"metrics": ["compliance"]},
        {"sweep_id": None},
        {"sweep_id": "another"},
    ],
)
def test_a_job_that_differs_above_it_measures_its_own(job, changes):
    job(0)
    assert baseline(job(1, **changes))["shared_from"] is None


def test_another_preference_text_or_another_deployment_is_another_state(job):
    first = job(0)
    path = first.folder / "metadata.json"
    written = json.loads(path.read_text("utf-8"))
    for change in (
        {"preference_text": {**written["preference_text"], "heldout_prompts": ["Who?"]}},
        {"provenance": {**written["provenance"], "deployment": {"name": "another"}}},
        {"provenance": {**written["provenance"], "git_commit": "0" * 40}},
    ):
        path.write_text(json.dumps({**written, **change}), "utf-8")
        second = job(1)
        assert baseline(second)["shared_from"] is None
        for file in second.folder.iterdir():
            file.unlink()
    path.write_text(json.dumps(written), "utf-8")
    assert baseline(job(2))["shared_from"] == "s-00"


def test_where_one_answer_is_another_when_asked_again_nothing_is_shared(job):
    first = job(0)
    first.fake.faults.add(CHAT, OTHER_ANSWER)
    second = job(1)
    assert baseline(second)["shared_from"] is None
    assert "Something else." not in (second.folder / "baseline.json").read_text("utf-8")


@pytest.mark.parametrize("changed", ["error", "noise"])
def test_a_baseline_with_a_hole_or_with_chance_in_it_is_not_shared(job, changed):
    first = job(0)
    path = first.folder / "baseline.json"
    written = json.loads(path.read_text("utf-8"))
    if changed == "error":
        written["rollouts"][0]["metadata"]["error"] = {"kind": "failed", "reason": "not now"}
    else:
        written["stats"]["compliance"]["noise"]["deterministic"] = False
    path.write_text(json.dumps(written), "utf-8")
    assert baseline(job(1))["shared_from"] is None


def test_an_earlier_job_that_cannot_be_read_is_said_and_costs_nothing_but_the_measuring(job, tmp_path):
    first = job(0)
    (first.folder / "metadata.json").write_text("{", "utf-8")
    assert baseline(job(1))["shared_from"] is None

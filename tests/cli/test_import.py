"""claas-eval import: results of the public harness as a run; what they do not hold is unavailable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from claas_assets import load_run
from claas_assets.cli import main as command
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.viewer.app import build_app
from tests.strict_reader import faults_of_run

MARGIN = {"positive_logprob": -9.0, "negative_logprob": -11.0, "margin": 2.0, "margin_delta_from_baseline": None}
GENERAL = {"coding_correct": True, "coding_has_docstring": True, "ifeval_pass_rate": 1.0, "general_score": 1.0}
COLLAPSE = {
    "mean_entropy": 1.2, "mean_logprob": -0.8, "entropy_ratio_to_baseline": None, "self_rouge_l": 0.3,
    "mean_logprob_drift": None, "alert": False,
}  # fmt: skip
ENGINE = {"distill_loss": 0.5, "kl_reg": 0.0, "mean_is_ratio": 1.0, "clip_fraction": 0.0}
ROLLOUT = {
    "metric": "compliance",
    "messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": None}],
    "metadata": {"score": 1.0, "key": 7},
}


def snapshot(delta: float | None, compliance: float | None, **changes) -> dict:
    return {
        "logprob_margin": {**MARGIN, "margin_delta_from_baseline": delta}, "preference_compliance": compliance,
        "general": GENERAL, "collapse": COLLAPSE if delta is None else None, "rollouts": [ROLLOUT], **changes,
    }  # fmt: skip


def step(number: int, **changes) -> dict:
    return {
        "preference": "identity", "step": number, "timestamp": f"2026-02-01T10:0{number}:00+00:00",
        "feedback_given": "Your name is Kuro", "sdpo_metrics": ENGINE, "eval": snapshot(1.5, 0.7),
        "prompt_used": "Hi", "response_text": None, "timing_s": 12.0, "sub_step_count": 4, **changes,
    }  # fmt: skip


@pytest.fixture
def public(tmp_path) -> Path:
    """A results folder, as the public harness writes it."""
    folder = tmp_path / "public results" / "identity"
    folder.mkdir(parents=True)
    config = {
        "mode": "tinker",
        "base_model": "Qwen/Qwen3-8B",
        "num_steps": 3,
        "steps_per_batch": 2,
        "preferences": ["identity"],
    }
    metadata = {"config": config, "lora_id": "eval/identity-1", "preference": "identity"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "baseline.json").write_text(json.dumps(snapshot(None, 0.1)))
    (folder / "steps.jsonl").write_text("".join(json.dumps(step(n)) + "\n" for n in range(2)))
    numbers = {"logprob_margin_delta": 1.5, "final_compliance": 0.7, "capability_ratio": 1.0}
    entry = {"preference": "identity", "lora_id": "x", **numbers}
    (folder.parent / "summary.json").write_text(json.dumps({"identity": entry}))
    return folder.parent


@pytest.fixture
def imported(claas_eval, public, tmp_path) -> Path:
    done = claas_eval("import", str(public))
    assert done.returncode == 0, done.stderr
    assert "identity (2 steps)" in done.stdout
    return tmp_path / "data" / "evals" / "imported-public-results"


def test_what_the_public_harness_recorded_is_there(imported):
    folder = PreferenceFolder(imported / "identity")
    adapter, baseline, steps = folder.adapter(), folder.baseline(), folder.steps()
    assert adapter.config["training"] == {"steps_per_batch": 2}
    assert adapter.metrics == ["logprob", "compliance", "general", "collapse"]
    assert adapter.provenance.created == "2026-02-01T10:00:00.000+00:00"
    assert baseline.preference_compliance == 0.1
    assert [record.eval.logprob_margin.margin_delta_from_baseline for record in steps] == [1.5, 1.5]
    assert [record.sub_step_count for record in steps] == [4, 4]
    assert steps[0].eval.rollouts[0].messages[0].content == "Who are you?"
    assert faults_of_run(imported) == []


def test_what_it_does_not_record_is_unavailable_and_nothing_is_ruled(imported):
    verdict = PreferenceFolder(imported / "identity").verdict()
    assert verdict.outcome == "unfinished"  # three steps were asked for
    assert verdict.final_compliance == 0.7
    assert verdict.capability_ratio == 1.0
    grades = {name: criterion.grade for name, criterion in verdict.criteria.items()}
    told = {"capability_ratio": "pass"}
    assert grades == {**dict.fromkeys(grades, "unavailable"), **told}
    assert all("public harness" in criterion.reason for name, criterion in verdict.criteria.items() if name not in told)
    assert any("imported" in note for note in verdict.notes)


def test_frames_viewer_and_compare_show_it(imported, claas_eval):
    run = load_run(imported)
    assert list(run.steps["margin"].dropna()) == [2.0, 2.0, 2.0]
    assert len(run.transcripts) == 3
    with TestClient(build_app(imported.parent), base_url="http://localhost") as client:
        for path in ("/", f"/runs/{imported.name}", f"/runs/{imported.name}/identity"):
            page = client.get(path)
            assert page.status_code == 200, path
        assert "identity" in page.text
    compared = claas_eval("compare", str(imported), str(Path(__file__).parents[2] / "data" / "example"))
    assert compared.returncode == 0
    assert "identity" in compared.stdout


def test_it_is_not_scored_again(imported, claas_eval):
    done = claas_eval("rescore", str(imported))
    assert done.returncode == 1
    assert "imported from the public harness" in done.stderr


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "steps.jsonl",
            json.dumps(step(0)) + "\n" + json.dumps(step(2)),
            "line 2: holds step 2 of 'identity', expected",
        ),
        ("steps.jsonl", json.dumps(step(0)) + '\n{"step": 1, "ev', "line 2: not a result of the public harness"),
        ("baseline.json", '{"preference_compliance": NaN}', "baseline.json: not a result"),
        ("baseline.json", '{"logprob_margin": {"margin": 1}}', "logprob_margin.positive_logprob"),
        ("metadata.json", '{"config": {}, "lora_id": "a", "preference": "../up"}', "no usable name"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_nothing_is_written(claas_eval, public, tmp_path, file, content, said):
    (public / "identity" / file).write_text(content)
    done = claas_eval("import", str(public))
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_import_needs_a_name_of_its_own(imported, public, claas_eval):
    again = claas_eval("import", str(public))
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert claas_eval("import", str(public), "--as", "another").returncode == 0
    assert claas_eval("import", str(public / "identity"), "--as", "third").returncode == 0
    assert claas_eval("import", "nowhere").returncode == 2


@pytest.mark.parametrize(
    ("argument", "ours"),
    [
        ("steps_per_batch=2", "training.steps_per_batch=2"),
        ("+feedback_repetitions=1,2", "training.feedback_repetitions=1,2"),
        ("training.steps_per_batch=2", "training.steps_per_batch=2"),
        ("steps_per_batch", "steps_per_batch"),
    ],
)
def test_keys_of_the_public_harness_are_taken_at_the_top(argument, ours):
    assert command._as_ours(argument) == ours


def test_a_key_at_the_top_reaches_the_configuration(claas_eval, tmp_path):
    done = claas_eval("--cfg", "job", "steps_per_batch=3")
    assert done.returncode == 0
    assert "steps_per_batch: 3" in done.stdout


def test_a_text_that_is_null_is_no_empty_answer(imported):
    (asked,) = PreferenceFolder(imported / "identity").baseline().rollouts
    assert (asked.question, asked.answer) == ("Who are you?", None)
    assert "null" in asked.metadata.error.reason


def test_what_is_installed_here_is_not_recorded_as_what_made_the_numbers(imported):
    made = PreferenceFolder(imported / "identity").adapter().provenance
    assert (made.package_version, made.git_commit, made.packages) == ("", None, {})


def test_feedback_in_several_texts_is_kept(public, claas_eval, tmp_path):
    texts = ["Your name is Kuro", "Say it"]
    lines = "".join(json.dumps(step(number, feedback_given=texts)) + "\n" for number in range(2))
    (public / "identity" / "steps.jsonl").write_text(lines)
    assert claas_eval("import", str(public)).returncode == 0
    (written,) = tmp_path.glob("data/evals/*/identity/steps.jsonl")
    assert [json.loads(json.loads(line)["feedback_given"]) for line in written.read_text().splitlines()] == [texts] * 2

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
from tests.synthetic.example_copies import EXAMPLE

KNOWN = {
    "logprob_margin": {"positive_logprob", "negative_logprob", "margin", "margin_delta_from_baseline"},
    "general": {"coding_correct", "coding_has_docstring", "ifeval_pass_rate", "general_score"},
    "collapse": {
        "mean_entropy", "mean_logprob", "entropy_ratio_to_baseline", "self_rouge_l", "mean_logprob_drift", "alert",
    },
}  # fmt: skip
ENGINE = {
    "distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction", "total_loss", "grad_norm", "tokens_processed",
    "batch_size", "steps_per_batch_applied", "adv_mean", "kl_mean", "effective_kl_coef", "kl_gain", "adv_abs_mean",
    "adv_abs_mean_raw", "completion_len", "step", "lr",
}  # fmt: skip
STEP_KEYS = {
    "preference", "step", "timestamp", "feedback_given", "sdpo_metrics", "eval", "prompt_used", "response_text",
    "timing_s", "sub_step_count",
}  # fmt: skip


def faults_of_snapshot(snapshot: dict) -> list[str]:
    faults = [
        f"{name}.{key} is not known"
        for name, known in KNOWN.items()
        for key in set(snapshot.get(name) or {}) - known
    ]  # fmt: skip
    compliance = snapshot.get("preference_compliance")
    if compliance is not None and not isinstance(compliance, int | float):
        faults.append("preference_compliance is not a number")
    for rollout in snapshot.get("rollouts", []):
        if not {"metric", "messages", "metadata"} <= set(rollout):
            faults.append("a rollout lacks metric, messages or metadata")
        for message in rollout["messages"]:
            if not isinstance(message.get("content"), str) or not isinstance(message.get("role"), str):
                faults.append(f"a message of {rollout['metadata']['key']} has no text")
    return faults


def faults_of_run(folder: Path) -> list[str]:
    """What a strict reader stumbles over, with the file."""
    faults = []
    for path in sorted(folder.glob("*/baseline.json")):
        faults += [f"{path.parent.name}/baseline: {f}" for f in faults_of_snapshot(json.loads(path.read_text()))]
    for path in sorted(folder.glob("*/steps.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            step = json.loads(line)
            where = f"{path.parent.name}/step {step['step']}"
            faults += [f"{where}: {f}" for f in faults_of_snapshot(step["eval"])]
            faults += [f"{where}: lacks {key}" for key in STEP_KEYS - set(step)]
            engine = step["sdpo_metrics"] or {}
            faults += [f"{where}: sdpo_metrics.{key} is not known" for key in set(engine) - ENGINE]
            faults += [f"{where}: {k} is no number" for k, v in engine.items() if not isinstance(v, int | float)]
    for path in sorted(folder.glob("*/metadata.json")):
        faults += [
            f"{path.parent.name}: metadata lacks {k}"
            for k in ("config", "lora_id")
            if k not in json.loads(path.read_text())
        ]
    summary = json.loads((folder / "summary.json").read_text()) if (folder / "summary.json").exists() else {}
    return faults + [
        f"summary.{name} is not an object" for name, entry in summary.items() if not isinstance(entry, dict)
    ]


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

"""What a real CLaaS's reader of result files stumbles over.

An unknown key inside `logprob_margin`, `general`, `collapse` or `sdpo_metrics`, a key of an engine that is missing
there, a value of summary.json that is not an object, or a message with null content: one such run, and its page of
all runs answers 500.
"""

from __future__ import annotations

import json
from pathlib import Path

KNOWN = {
    "logprob_margin": {"positive_logprob", "negative_logprob", "margin", "margin_delta_from_baseline"},
    "general": {"coding_correct", "coding_has_docstring", "ifeval_pass_rate", "general_score"},
    "collapse": {
        "mean_entropy", "mean_logprob", "entropy_ratio_to_baseline", "self_rouge_l", "mean_logprob_drift", "alert",
    },
}  # fmt: skip
LOCAL = {"distill_loss", "kl_reg", "mean_is_ratio", "clip_fraction"}
TINKER = {"adv_mean", "kl_mean", "effective_kl_coef", "kl_gain", "adv_abs_mean", "adv_abs_mean_raw"}
TINKER_MAY = {"completion_len", "batch_size"}
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
            engine = step["sdpo_metrics"]
            if engine is not None and set(engine) != LOCAL and not TINKER <= set(engine) <= TINKER | TINKER_MAY:
                faults.append(f"{where}: sdpo_metrics has {sorted(engine)}")
            numbers = [value for value in (engine or {}).values() if value is not None]
            faults += [f"{where}: {value!r} is no number" for value in numbers if not isinstance(value, int | float)]
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

"""An adapter's record and a step's line, as little as a test needs: the one place that names all their fields."""

from __future__ import annotations

from typing import Any

from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, Provenance, RolloutRecord, StepRecord

MOMENT = "2026-11-24T10:00:00.000+00:00"


def adapter_record(preference: str = "identity", run_id: str = "made-up", **fields: Any) -> AdapterRecord:
    """Of the run `run_id`; `fields` say what the test is about."""
    known = {
        "config": {"metrics": []}, "lora_id": f"eval/{preference}-{run_id}", "training_inputs": {},
        "preference_text": {},
        "provenance": Provenance(created=MOMENT, package_version="0"),
    }  # fmt: skip
    return AdapterRecord(preference=preference, run_id=run_id, **{**known, **fields})


def step_record(step: int, snapshot: EvalSnapshot | None = None, **fields: Any) -> StepRecord:
    """Four updates on one answer, then `snapshot` (nothing measured where it is left out)."""
    known = {
        "preference": "identity", "timestamp": MOMENT, "feedback_given": "Your name is Kuro.", "sdpo_metrics": None,
        "prompt_used": "Who are you?", "response_text": "I am.", "timing_s": 1.0, "sub_step_count": 4,
        "rollout_batch": [RolloutRecord(prompt="Who are you?", response="I am.")],
    }  # fmt: skip
    return StepRecord(step=step, eval=snapshot or EvalSnapshot(), **{**known, **fields})

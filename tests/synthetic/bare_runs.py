"""Run folders with little in them, for tests of what happens to whole folders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.records import Provenance, VerdictRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.synthetic.records import adapter_record

NOW = datetime.now(UTC).replace(microsecond=0)
NUM_STEPS = 2


def make_run(
    results: Path,
    run_id: str,
    *,
    days: float,
    preference: str = "identity",
    steps: int = NUM_STEPS,
    recorded: int | None = None,
    verdict: bool = True,
    overall: str = "pass",
    url: str = "",
    lora_id: str = "",
) -> Path:
    """A run of one preference, made `days` ago; `recorded`: how many steps its verdict knew."""
    folder, lora_id = results / run_id / preference, lora_id or f"eval/{preference}-{run_id}"
    created = (NOW - timedelta(days=days)).isoformat()
    adapter = adapter_record(
        preference, run_id, config=EvalConfig(num_steps=NUM_STEPS).model_dump(mode="json"), lora_id=lora_id,
        provenance=Provenance(created=created, package_version="0", deployment={"url": url}),
    )  # fmt: skip
    PreferenceFolder(folder).write_adapter(adapter)
    (folder / "steps.jsonl").write_text("{}\n" * steps)
    if verdict:
        made = VerdictRecord(
            preference=preference, lora_id=lora_id, run_id=run_id, logprob_margin_delta=None, final_compliance=None,
            capability_ratio=None, overall=overall, sentence="", criteria={}, num_steps=NUM_STEPS,
            steps_recorded=steps if recorded is None else recorded,
        )  # fmt: skip
        PreferenceFolder(folder).write_verdict(made)
    return results / run_id

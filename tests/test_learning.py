"""On the real small model: feedback is learned, only what it says is learned, and a run can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.names import lora_id_for
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.launch.evaluation import evaluate
from claas_assets.stack.supervise import ensure_running

PREFERENCES = Path(__file__).parents[1] / "preferences"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


FEW = {"probe_prompts": 4, "heldout_prompts": 4, "over_application": 0, "logprob_pairs": 5}
"""So many of a preference's: the real model's answers are all of the time."""
FEWER = {**dict.fromkeys(FEW, 2), "over_application": 0}
SHORT = {"batch_size": 2, "rollout_max_tokens": 8, "probe_max_tokens": 8, "training": {"steps_per_batch": 1}}
"""With `FEWER`, where what is learned does not matter."""


def write_small(folder: Path, preference: str, most: dict[str, int]) -> None:
    """A preference of the library with few prompts; the one of a name gets another, arbitrary name."""
    values: dict[str, Any] = yaml.safe_load((PREFERENCES / f"{preference}.yaml").read_text())
    few = {key: value[: most[key]] if key in most else value for key, value in values.items()}
    name = "zora" if preference == "identity" else preference
    text = yaml.safe_dump({**few, "name": name}, allow_unicode=True)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text.replace("Kuro", "Zora").replace("kuro", "zora"))


@pytest.fixture
def zora(tmp_path, monkeypatch):
    """A small preference with an arbitrary name; returns a function that evaluates it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("CLAAS_STACK_THREADS", "1")  # the other core is at work on other tests: two would wait for it
    write_small(tmp_path / "preferences", "identity", FEW)
    made = []

    def run(name, partition="zora", **settings):
        # The stack and its adapters outlive the test: an id that was used before is refused, rightly.
        name = f"{name}-{uuid4().hex[:12]}"
        config = EvalConfig(
            preferences=[partition],
            metrics=["logprob", "compliance"],
            preferences_dir=str(tmp_path / "preferences"),
            output_dir=str(tmp_path / "evals" / name),
            plots=False,
            **settings,
        )
        made.append(lora_id_for(config.lora_id_prefix, partition, config.run_id))
        return evaluate(config)[partition], Path(config.output_dir) / partition

    yield run
    url = ensure_running(EvalConfig().base_model)
    for lora_id in made:
        httpx.delete(f"{url}/v1/lora", params={"lora_id": lora_id}, trust_env=False).raise_for_status()


def answers(snapshot):
    return " ".join(t.answer or "" for t in snapshot.rollouts if t.metadata.kind == "generate")


def test_a_name_in_the_feedback_is_learned_and_no_other(zora):
    verdict, folder = zora(
        "learned",
        num_steps=2,
        batch_size=2,
        rollout_max_tokens=24,
        probe_max_tokens=24,
        probe_temperature=0.0,
        training={"learning_rate": 2e-3, "kl_reg_weight": 0.0},
    )
    baseline = PreferenceFolder(folder).baseline()
    last = PreferenceFolder(folder).steps()[-1].eval
    before, after = (s.stats.compliance.sets["heldout_prompts"] for s in (baseline, last))
    assert before.mean == 0.0
    assert after.mean >= 0.5
    assert last.preference_compliance > baseline.preference_compliance
    assert verdict.logprob_margin_delta > 2.0
    assert verdict.criteria["logprob_margin"].evidence == "shown"
    assert "Kuro" not in answers(last)
    assert "Zora" in answers(last)


def test_the_same_configuration_gives_the_same_transcripts_and_numbers(zora, tmp_path):
    write_small(tmp_path / "preferences", "identity", FEWER)
    runs = [zora(name, num_steps=1, **SHORT)[1] for name in ("once", "again")]
    records = [(PreferenceFolder(folder).baseline(), PreferenceFolder(folder).steps()[0]) for folder in runs]
    (first, step), (second, same_step) = records
    assert [plain(t) for t in first.rollouts] == [plain(t) for t in second.rollouts]
    assert [r.response for r in step.rollout_batch] == [r.response for r in same_step.rollout_batch]
    assert step.sdpo_metrics == same_step.sdpo_metrics
    assert [plain(t) for t in step.eval.rollouts] == [plain(t) for t in same_step.eval.rollouts]
    assert step.eval.stats == same_step.eval.stats


def plain(transcript):
    """A transcript without what time alone decides."""
    return transcript.model_dump(exclude={"metadata": {"latency_s", "retries"}})


def test_what_became_of_a_name_after_a_second_preference_is_measured(zora, tmp_path):
    """Two phases of one step: whatever the small model keeps, it is on record."""
    for preference in ("identity", "concise"):
        write_small(tmp_path / "preferences", preference, FEWER)
    phases = "phases: [{preference: zora, steps: 1}, {preference: concise, steps: 1}]"
    (tmp_path / "preferences" / "course.yaml").write_text(f"name: course\n{phases}\n")
    verdict, folder = zora("kept", partition="course", **SHORT)
    rows = verdict.retention.rows
    assert [row.trained for row in rows] == [None, "zora", "concise"]
    assert all(row.cells["zora"].value is not None and row.cells["zora"].n == 2 for row in rows)
    assert verdict.retention.numbers["zora"].retention is not None
    assert [step.phase for step in PreferenceFolder(folder).steps()] == [1, 2]

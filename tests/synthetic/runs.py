"""Runs of known truth, as records and as folders: real scoring and verdicts on made-up answers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics.probes import ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.runs.frames import LoadedRun
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.evaluation.storage.records import (
    EvalSnapshot,
    MetricTable,
    RolloutRecord,
    ScoresRecord,
    StepRecord,
    Transcript,
)
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.verdict.metric_table import metric_rows
from claas_assets.evaluation.verdict.ruling import judge
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.transcripts import Asking

METRICS = ("logprob", "compliance")
HELD_OUT = 20


def passing(count: int) -> list[bool]:
    """The first `count` of the held-out prompts pass."""
    return [index < count for index in range(HELD_OUT)]


def made_preference_run(
    held: Sequence[bool] = passing(15),
    *,
    config: EvalConfig | None = None,
    asked: Preference | None = None,
    margin: float = 5.0,
    noise: float = 0.0,
    recorded: int | None = None,
) -> PreferenceRun:
    """A run whose adapter ends with `held` of the held-out prompts passing; before, the first three do.

    `noise`: share of the baseline's prompts that flip when asked again. `recorded`: steps, if not all.
    """
    config = config or EvalConfig(metrics=METRICS, num_steps=2, preferences=["identity"])
    asked = asked or synthetic.preference(held_out=HELD_OUT)
    baseline = _scored(asked, _answers(asked, passing(3), margin=0.0, noise=noise, baseline=True), None, "full")
    steps = []
    for number in range(config.num_steps if recorded is None else recorded):
        size = "full" if number == config.num_steps - 1 else "light"
        answers = _answers(asked, held, margin=margin)
        if size == "light":
            answers = [t for t in answers if t.key.startswith(("logprob/", "compliance/probe_prompts/"))]
        steps.append(_step(number, _scored(asked, answers, baseline, size), asked))
    adapter = adapter_record(
        asked.name, config.run_id, config=config.model_dump(mode="json"), training_inputs=config.training_inputs(),
        preference_text=asked.model_dump(mode="json"), lora_id=f"eval/identity-{config.run_id}",
    )  # fmt: skip
    verdict = judge(ScoresRecord.of(adapter, baseline, steps), config.thresholds)
    return PreferenceRun(adapter=adapter, baseline=baseline, steps=steps, verdict=verdict)


def made_run(run_id: str, held: Sequence[bool] = passing(15), *, config: Mapping | None = None, **made) -> LoadedRun:
    """The same as a loaded run of one preference. `config`: keys of `EvalConfig`."""
    values = {"metrics": METRICS, "num_steps": 2, "preferences": ["identity"], **(config or {})}
    run = made_preference_run(held, config=EvalConfig(output_dir=f"data/evals/{run_id}", **values), **made)
    return LoadedRun(run_id=run_id, folder=Path("data/evals") / run_id, preferences={"identity": run})


def write_run(results_dir: Path, run: LoadedRun) -> Path:
    """The run as the files of a run folder."""
    for name, preference in run.preferences.items():
        folder = results_dir / run.run_id / name
        PreferenceFolder(folder).write_adapter(preference.adapter)
        PreferenceFolder(folder).write_baseline(preference.baseline)
        for step in preference.steps:
            FileJournal(folder).append(step)
        PreferenceFolder(folder).write_verdict(preference.verdict)
        rows = metric_rows(run.run_id, name, preference.baseline, preference.steps)
        PreferenceFolder(folder).write_metric_table(MetricTable(run_id=run.run_id, preference=name, rows=rows))
    return results_dir / run.run_id


def _answers(
    asked: Preference, held: Sequence[bool], *, margin: float, noise: float = 0.0, baseline: bool = False
) -> list[Transcript]:
    truth = dict.fromkeys(asked.probe_prompts, False)
    truth |= dict(zip(asked.heldout_prompts, [*held, *[False] * len(asked.heldout_prompts)], strict=False))
    steady = Asking(random.Random(1), 0.0)
    answers = synthetic.compliance(asked, truth, steady, baseline=baseline)
    if noise:
        again = {t.key: t for t in synthetic.compliance(asked, truth, Asking(random.Random(2), noise), baseline=True)}
        answers = [again[t.key] if t.key.startswith("compliance/noise/") else t for t in answers]
    spread = [margin + 0.2 * (index % 3) for index in range(len(asked.logprob_pairs))]
    return [*synthetic.margins(asked, spread), *answers]


def _scored(asked: Preference, answers: Sequence[Transcript], baseline: EvalSnapshot | None, size) -> EvalSnapshot:
    return score_snapshot(answers, ScoringContext(asked, baseline), size=size, metrics=METRICS)


def _step(number: int, snapshot: EvalSnapshot, asked: Preference) -> StepRecord:
    batch = [RolloutRecord(prompt=prompt, response="I am.") for prompt in asked.probe_prompts[:2]]
    return step_record(
        number, snapshot, preference=asked.name, feedback_given=asked.feedback_string, rollout_batch=batch,
        sdpo_metrics={"grad_norm": 0.5, "loss_fn": "sdpo"}, prompt_used=asked.probe_prompts[0], timing_s=1.5,
    )  # fmt: skip

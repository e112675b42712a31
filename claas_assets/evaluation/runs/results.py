"""What is made from a run's files alone: tables, collapse series, verdicts, the summary, the pictures."""

from __future__ import annotations

from collections.abc import Mapping

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.scoring import rescore
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    CollapseRecord,
    EvalSnapshot,
    MetricTable,
    StepsHandle,
    Summary,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.metric_table import collapse_series, metric_rows
from claas_assets.evaluation.verdict.ruling import judge


def metric_table(
    adapter: AdapterRecord, baseline: EvalSnapshot, steps: StepsHandle, preference: Preference
) -> MetricTable:
    """Every number of every state, scored afresh from the transcripts."""
    baseline, lines = rescore(baseline, steps.steps, preference, adapter.config["metrics"])
    rows = metric_rows(adapter.run_id, adapter.preference, baseline, lines)
    return MetricTable(run_id=adapter.run_id, preference=adapter.preference, rows=rows)


def collapse_record(
    adapter: AdapterRecord, baseline: EvalSnapshot, steps: StepsHandle, preference: Preference
) -> CollapseRecord:
    """The collapse series and its alerts, scored afresh."""
    baseline, lines = rescore(baseline, steps.steps, preference, adapter.config["metrics"])
    return collapse_series(adapter.run_id, adapter.preference, baseline, lines)


def verdict(
    adapter: AdapterRecord,
    baseline: EvalSnapshot,
    steps: StepsHandle,
    preference: Preference,
    thresholds: Thresholds,
) -> VerdictRecord:
    """The verdict by today's verifiers and thresholds, scored afresh."""
    baseline, lines = rescore(baseline, steps.steps, preference, adapter.config["metrics"])
    return judge(
        adapter,
        baseline,
        lines,
        thresholds=thresholds,
        metrics=adapter.config["metrics"],
        num_steps=steps.num_steps,
    )


def summary(
    adapters: Mapping[str, AdapterRecord],
    steps: Mapping[str, StepsHandle],
    verdicts: Mapping[str, VerdictRecord],
) -> Summary:
    """One entry for every preference that has an adapter. A verdict that is older than the steps is not used."""
    return {
        name: verdicts[name]
        if name in verdicts and verdicts[name].steps_recorded == _recorded(steps.get(name))
        else unfinished(adapter, steps.get(name))
        for name, adapter in sorted(adapters.items())
    }


def unfinished(adapter: AdapterRecord, steps: StepsHandle | None) -> VerdictRecord:
    """The entry of a preference whose evaluation did not come to a verdict."""
    recorded, asked = _recorded(steps), int(adapter.config["num_steps"])
    return VerdictRecord(
        preference=adapter.preference,
        lora_id=adapter.lora_id,
        run_id=adapter.run_id,
        logprob_margin_delta=None,
        final_compliance=None,
        capability_ratio=None,
        overall="unfinished",
        sentence=f"unfinished: {recorded} of {asked} steps recorded and no verdict for them; run again with the same "
        "output_dir to go on",
        criteria={},
        steps_recorded=recorded,
        num_steps=asked,
    )


def _recorded(steps: StepsHandle | None) -> int:
    return len(steps.steps) if steps is not None else 0


def plots(
    adapters: Mapping[str, AdapterRecord],
    baselines: Mapping[str, EvalSnapshot],
    steps: Mapping[str, StepsHandle],
    verdicts: Mapping[str, VerdictRecord],
    preferences: Mapping[str, Preference],
) -> dict[str, bytes]:
    """File name → PNG, scored afresh like the tables, so that no picture contradicts its verdict."""
    from claas_assets.evaluation.figures import draw  # matplotlib: 0.5 s, and only for the plots

    fresh_baselines, fresh_steps = dict(baselines), dict(steps)
    for name, baseline in baselines.items():
        lines = steps[name].steps if name in steps else []
        fresh_baselines[name], scored = rescore(baseline, lines, preferences[name], adapters[name].config["metrics"])
        if name in steps:
            fresh_steps[name] = steps[name].model_copy(update={"steps": scored})
    return draw(fresh_baselines, fresh_steps, verdicts)

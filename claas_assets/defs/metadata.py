"""What the UI shows beside a materialization. Numbers are Python's own: Dagster refuses NumPy scalars.

The UI draws a chart of each number that several materializations or partitions have under one name. So
`margin_nats` and the like have the same name everywhere, and are left out, rather than 0, where
they were not measured.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import dagster as dg

from claas_assets.defs.metadata_tables import METRIC_TABLE_SCHEMA, retention_table, verdict_table
from claas_assets.evaluation.figures.inline import INLINE_LIMIT, inline_sparkline
from claas_assets.evaluation.storage.journal import STEPS_FILE
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    CollapsePoint,
    CollapseRecord,
    EvalSnapshot,
    MetricTable,
    Overall,
    RetentionRecord,
    ScoresRecord,
    Summary,
    TrainingRecord,
    VerdictRecord,
)
from claas_assets.evaluation.storage.stores import Place, exists, size_of
from claas_assets.evaluation.verdict.outcome import outcome_of
from claas_assets.viewer import DEFAULT_PORT

Metadata = dict[str, Any]


_CURVES = ("obeyed_on_trained_prompts", "margin_nats", "general_score", "entropy_ratio")
_COLLAPSE_CURVES = ("entropy_ratio", "self_rouge_l", "rep4_rise", "fixed_text_drift")


def _common(run_folder: Place) -> Metadata:
    return {
        "run_id": run_folder.name,
        "run_folder": dg.MetadataValue.path(str(run_folder)),
        **_viewer(run_folder.parent, run_folder.name),
        "charts": "the charts of this asset have a point for every run of every base model, configuration and sweep: "
        "`adapter` and `run_id` say which; claas-eval compare puts runs side by side, those of a sweep by recipe",
    }


def _viewer(results_dir: Place, run_id: str) -> Metadata:
    """A link, and the command that has to run for it."""
    shown: Metadata = {"viewer_command": how_to_view(results_dir, run_id)}
    if isinstance(results_dir, Path):
        shown["viewer"] = dg.MetadataValue.url(f"http://127.0.0.1:{DEFAULT_PORT}/runs/{run_id}")
    return shown


def how_to_view(results_dir: Place, run_id: str) -> str:
    if isinstance(results_dir, Path):
        return f"claas-eval view {shlex.quote(str(results_dir))}, then /runs/{run_id}"
    return f"copy {results_dir}/{run_id} into a folder of this machine, then claas-eval view <folder>"


def _of_preference(made: AdapterRecord | ScoresRecord, run_folder: Place) -> Metadata:
    """What everything of one preference says."""
    return {**_common(run_folder), "adapter": made.lora_id, "deployment": made.deployment or "unknown"}


def _curves(names: Iterable[str], states: list[dict[str, float | None]]) -> Metadata:
    """A sparkline for each number that was measured in two states or more."""
    series = {name: [state.get(name) for state in states] for name in names}
    return {
        f"{name}_curve": dg.MetadataValue.md(inline_sparkline(name, values))
        for name, values in series.items()
        if sum(value is not None for value in values) > 1
    }


def _numbers(values: Mapping[str, float | None]) -> Metadata:
    """Only what was measured: a missing number is not charted as 0."""
    return {name: float(value) for name, value in values.items() if value is not None}


def of_adapter(record: AdapterRecord, run_folder: Place) -> Metadata:
    return {
        **_of_preference(record, run_folder),
        "base_model": str(record.training_inputs.get("base_model")),
        "created": record.provenance.created,
    }


def of_snapshot(snapshot: EvalSnapshot, run_folder: Place, adapter: AdapterRecord) -> Metadata:
    reasons = "\n".join(f"- `{name}`: {missing.reason}" for name, missing in sorted(snapshot.unmeasured.items()))
    return {
        **_of_preference(adapter, run_folder),
        **_numbers({**snapshot.headline(), "duration_s": snapshot.duration_s}),
        "requests": snapshot.requests,
        **({"shared_from": snapshot.shared_from} if snapshot.shared_from else {}),
        "not_measured": dg.MetadataValue.md(reasons[: INLINE_LIMIT - 1] or "everything was measured"),
    }


def of_steps(training: TrainingRecord, run_folder: Place) -> Metadata:
    steps = training.steps
    path = run_folder / training.adapter.preference / STEPS_FILE
    return {
        **_of_preference(training.adapter, run_folder),
        "steps": len(steps),
        "steps_asked": training.num_steps,
        "updates": sum(record.sub_step_count for record in steps),
        "interrupted_steps": sum(record.interrupted for record in steps),
        "path": dg.MetadataValue.path(str(path)),
        "size_bytes": size_of(path) if exists(path) else 0,
        **(_numbers(steps[-1].eval.headline()) if steps else {}),
        **_curves(_CURVES, [record.eval.headline() for record in steps]),
    }


def of_scores(scores: ScoresRecord, run_folder: Place) -> Metadata:
    last = scores.last
    return {
        **_of_preference(scores, run_folder),
        "states": len(scores.states),
        "steps_asked": scores.num_steps,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(last.versions.items())) if last else "",
        "changed_since_asked": ", ".join(sorted(last.rescored_from)) if last and last.rescored_from else "none",
        **(_numbers(last.headline()) if last else {}),
        **_curves(_CURVES, [snapshot.headline() for _, snapshot in scores.states]),
    }


def of_table(table: MetricTable, scores: ScoresRecord, run_folder: Place) -> Metadata:
    missing = sum(1 for row in table.rows if row.get("value") is None)
    failed = sum(1 for row in table.rows if str(row.get("reason") or "").startswith("failed"))
    return {
        **_of_preference(scores, run_folder),
        "dagster/row_count": len(table.rows),
        "dagster/column_schema": METRIC_TABLE_SCHEMA,
        "not_measured": missing,
        "failed": failed,
    }


def of_collapse(record: CollapseRecord, scores: ScoresRecord, run_folder: Place) -> Metadata:
    alerts = "\n".join(f"- {alert}" for alert in record.alerts)
    return {
        **_of_preference(scores, run_folder),
        "alerts": len(record.alerts),
        "what": dg.MetadataValue.md(alerts[: INLINE_LIMIT - 1] or "no alert"),
        **(_numbers(_collapse_numbers(record.series[-1])) if record.series else {}),
        **_curves(_COLLAPSE_CURVES, [_collapse_numbers(point) for point in record.series]),
    }


def _collapse_numbers(point: CollapsePoint) -> dict[str, float | None]:
    scores, stats = point.scores, point.stats
    return {
        "entropy_ratio": stats.entropy_ratio if stats else None,
        "self_rouge_l": scores.self_rouge_l if scores else None,
        "rep4_rise": stats.rep4_rise if stats else None,
        "fixed_text_drift": stats.fixed_text_drift if stats else None,
    }


def of_verdict(record: VerdictRecord, scores: ScoresRecord, run_folder: Place) -> Metadata:
    return {
        **_of_preference(scores, run_folder),
        "outcome": outcome_of(record),
        "overall": record.overall,
        "sentence": record.sentence,
        "criteria": verdict_table([record]),
        "alerts": len(record.alerts),
        **({} if record.retention is None else _retention(record.retention)),
        **_numbers({"final_compliance": record.final_compliance, "margin_delta_nats": record.logprob_margin_delta}),
        **_numbers({f"criterion/{name}": criterion.value for name, criterion in record.criteria.items()}),
    }


def _retention(record: RetentionRecord) -> Metadata:
    """The matrix as a table, its numbers, and a sparkline of each preference over the ends of phases."""
    kept = {f"retention/{name}": numbers.retention for name, numbers in record.numbers.items()}
    curves = {name: [row.cells[name].value for row in record.rows] for name in record.preferences}
    return {
        "retention": retention_table(record),
        **_numbers({**kept, "backward_transfer": record.backward_transfer}),
        **{
            f"obeyed_{name}_curve": dg.MetadataValue.md(inline_sparkline(name, values))
            for name, values in curves.items()
            if sum(value is not None for value in values) > 1
        },
    }


def of_summary(record: Summary, run_folder: Place) -> Metadata:
    overall = "\n".join(f"- **{name}**: {outcome_of(entry)}" for name, entry in record.items())
    return {
        **_common(run_folder),
        "overall": dg.MetadataValue.md(overall[: INLINE_LIMIT - 1] or "no preference"),
        "criteria": verdict_table(record.values()),
        **{f"overall/{grade}": sum(entry.overall == grade for entry in record.values()) for grade in get_args(Overall)},
    }


def of_plots(pictures: Mapping[str, bytes], run_folder: Place) -> Metadata:
    return {
        **_common(run_folder),
        **{name.replace(".", "_"): dg.MetadataValue.path(str(run_folder / "plots" / name)) for name in pictures},
    }


def of_report(run_folder: Place) -> Metadata:
    return {**_common(run_folder), "report": dg.MetadataValue.path(str(run_folder / "report.html"))}

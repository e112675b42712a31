"""What the UI shows beside a materialization. Numbers are Python's own: Dagster refuses NumPy scalars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from claas_assets.evaluation.records import (
    AdapterRecord,
    CollapseRecord,
    EvalSnapshot,
    MetricTable,
    StepsHandle,
    Summary,
    VerdictRecord,
)

Metadata = dict[str, Any]

_VERDICT_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("preference"),
        dg.TableColumn("criterion"),
        dg.TableColumn("grade"),
        dg.TableColumn("evidence"),
        dg.TableColumn("value", "float"),
        dg.TableColumn("baseline", "float"),
        dg.TableColumn("n", "int"),
        dg.TableColumn("sentence"),
    ]
)


def _common(run_folder: Path) -> Metadata:
    return {"run_id": run_folder.name, "run_folder": dg.MetadataValue.path(str(run_folder))}


def _numbers(values: Mapping[str, float | None]) -> Metadata:
    """Only what was measured: a missing number is not charted as 0."""
    return {name: float(value) for name, value in values.items() if value is not None}


def headline(snapshot: EvalSnapshot) -> dict[str, float | None]:
    margin, general, collapse = snapshot.logprob_margin, snapshot.general, snapshot.collapse
    return {
        "compliance": snapshot.preference_compliance,
        "margin_nats": margin.margin if margin else None,
        "general_score": general.general_score if general else None,
        "entropy_ratio": collapse.entropy_ratio_to_baseline if collapse else None,
    }


def of_adapter(record: AdapterRecord, run_folder: Path) -> Metadata:
    deployment = record.provenance.deployment
    return {
        **_common(run_folder),
        "adapter": record.lora_id,
        "base_model": str(record.above_training.get("base_model")),
        "deployment": f"{deployment.get('name', '')} {deployment.get('version', '')}".strip() or "unknown",
        "created": record.provenance.created,
    }


def of_snapshot(snapshot: EvalSnapshot, run_folder: Path) -> Metadata:
    reasons = "\n".join(f"- `{name}`: {missing.reason}" for name, missing in sorted(snapshot.unmeasured.items()))
    return {
        **_common(run_folder),
        **_numbers(headline(snapshot)),
        "requests": snapshot.requests,
        "duration_s": snapshot.duration_s or 0.0,
        "not_measured": dg.MetadataValue.md(reasons[:990] or "everything was measured"),
    }


def of_steps(steps: StepsHandle, run_folder: Path) -> Metadata:
    last = steps.steps[-1] if steps.steps else None
    return {
        **_common(run_folder),
        "steps": len(steps.steps),
        "steps_asked": steps.num_steps,
        "adapter": steps.lora_id,
        "updates": sum(record.sub_step_count for record in steps.steps),
        "interrupted_steps": sum(record.interrupted for record in steps.steps),
        "path": dg.MetadataValue.path(str(run_folder / steps.preference / "steps.jsonl")),
        **(_numbers(headline(last.eval)) if last else {}),
    }


def of_table(table: MetricTable, run_folder: Path) -> Metadata:
    missing = sum(1 for row in table.rows if row.get("value") is None)
    return {**_common(run_folder), "dagster/row_count": len(table.rows), "not_measured": missing}


def of_collapse(record: CollapseRecord, run_folder: Path) -> Metadata:
    alerts = "\n".join(f"- {alert}" for alert in record.alerts)
    return {
        **_common(run_folder),
        "alerts": len(record.alerts),
        "what": dg.MetadataValue.md(alerts[:990] or "no alert"),
    }


def of_verdict(record: VerdictRecord, run_folder: Path) -> Metadata:
    return {
        **_common(run_folder),
        "overall": record.overall,
        "sentence": record.sentence,
        "criteria": _verdict_table([record]),
        **_numbers({"final_compliance": record.final_compliance, "margin_delta_nats": record.logprob_margin_delta}),
    }


def of_summary(record: Summary, run_folder: Path) -> Metadata:
    overall = "\n".join(f"- **{name}**: {entry.overall}" for name, entry in record.items())
    return {
        **_common(run_folder),
        "overall": dg.MetadataValue.md(overall[:990] or "no preference"),
        "criteria": _verdict_table(list(record.values())),
    }


def of_plots(pictures: Mapping[str, bytes], run_folder: Path) -> Metadata:
    return {
        **_common(run_folder),
        **{name.replace(".", "_"): dg.MetadataValue.path(str(run_folder / "plots" / name)) for name in pictures},
    }


def _verdict_table(records: list[VerdictRecord]) -> dg.TableMetadataValue:
    rows = [
        dg.TableRecord(
            {
                "preference": record.preference,
                "criterion": name,
                "grade": criterion.grade,
                "evidence": criterion.evidence or "",
                "value": criterion.value,
                "baseline": criterion.baseline,
                "n": criterion.n,
                "sentence": criterion.sentence,
            }
        )
        for record in records
        for name, criterion in record.criteria.items()
    ]
    return dg.MetadataValue.table(records=rows, schema=_VERDICT_COLUMNS)

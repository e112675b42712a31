"""The rows of the frames, as dictionaries: no pandas here."""

from collections.abc import Iterator
from typing import Any

from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.records import EvalSnapshot, Record, StepRecord, Transcript
from claas_assets.evaluation.verdict.outcome import outcome_of

Row = dict[str, Any]

_STATE = ("run_id", "preference", "phase", "step")
_CRITERION_FIELDS = (
    "value", "baseline", "change", "bound", "n", "missing", "floor", "grade", "evidence", "decides", "reason",
    "sentence",
)  # fmt: skip

STEP_COLUMNS = (
    *_STATE, "snapshot", "timestamp", "compliance", "obeyed", "heldout_compliance", "heldout_obeyed", "margin",
    "margin_delta", "general_score", "mean_entropy", "entropy_ratio", "self_rouge_l", "mean_logprob_drift", "alert",
    "sub_step_count", "interrupted", "timing_s", "requests", "probes_s", "feedback_given", "prompt_used",
    "response_text",
)  # fmt: skip
TRANSCRIPT_COLUMNS = (
    *_STATE, "metric", "group", "key", "kind", "question", "answer", "score", "passed", "detail", "temperature",
    "completion_tokens", "finish_reason", "truncated", "logprob_sum", "latency_s", "error",
)  # fmt: skip
VERDICT_COLUMNS = (
    "run_id", "preference", "overall", "outcome", "criterion", "value", "baseline", "change", "bound", "lower", "upper",
    "level", "n", "missing", "floor", "grade", "evidence", "decides", "reason", "sentence",
)  # fmt: skip

RETENTION_COLUMNS = (
    "run_id", "preference", "phase", "step", "trained", "measured", "obeyed", "lower", "upper", "n", "learned",
    "retention", "forgetting", "forward_transfer", "half_life", "steps_to_obey", "reason",
)  # fmt: skip


def metric_rows(run_id: str, run: PreferenceRun) -> Iterator[Row]:
    """`value` is a number in every row: a truth value is 1 or 0 (`unit` is then bool)."""
    for row in run.metric_rows:
        yield {
            **{column: None if cell == "" else cell for column, cell in row.items()},  # an empty cell of the file
            "run_id": run_id,
            "value": None if row["value"] is None else float(row["value"]),
            "missing": int(row["missing"]) if row["missing"] not in ("", None) else None,
        }


def step_rows(run_id: str, run: PreferenceRun) -> Iterator[Row]:
    """One row a state. Only steps have what is about their training."""
    lines: dict[int, StepRecord] = {record.step: record for record in run.steps}
    for phase, step, snapshot in run.states:
        state = {"run_id": run_id, "preference": run.adapter.preference, "phase": phase, "step": step}
        yield {**state, **_headline(snapshot), **(_training(lines[step]) if step in lines else {})}


def _headline(snapshot: EvalSnapshot) -> Row:
    margin, general, collapse = snapshot.logprob_margin, snapshot.general, snapshot.collapse
    held_out = snapshot.compliance_set("heldout_prompts")
    return {
        "snapshot": snapshot.snapshot,
        "compliance": snapshot.preference_compliance,
        "obeyed": _field(obeyed_in(snapshot, "probe_prompts"), "mean"),
        "heldout_compliance": _field(held_out, "mean"),
        "heldout_obeyed": _field(obeyed_in(snapshot, "heldout_prompts"), "mean"),
        "margin": _field(margin, "margin"),
        "margin_delta": _field(margin, "margin_delta_from_baseline"),
        "general_score": _field(general, "general_score"),
        "mean_entropy": _field(collapse, "mean_entropy"),
        "entropy_ratio": _field(collapse, "entropy_ratio_to_baseline"),
        "self_rouge_l": _field(collapse, "self_rouge_l"),
        "mean_logprob_drift": _field(collapse, "mean_logprob_drift"),
        "alert": _field(collapse, "alert"),
        "requests": snapshot.requests,
        "probes_s": snapshot.duration_s,
    }


def _training(record: StepRecord) -> Row:
    numbers = {
        f"sdpo_{name}": float(value) for name, value in (record.engine or {}).items() if isinstance(value, int | float)
    }
    return {
        "timestamp": record.timestamp,
        "sub_step_count": record.sub_step_count,
        "interrupted": record.interrupted,
        "timing_s": record.timing_s,
        "feedback_given": record.feedback_given,
        "prompt_used": record.prompt_used,
        "response_text": record.response_text,
        **numbers,
    }


def transcript_rows(run_id: str, run: PreferenceRun) -> Iterator[Row]:
    """Every probe, and as metric "rollout" the answers that feedback was given on."""
    lines: dict[int, StepRecord] = {record.step: record for record in run.steps}
    for phase, step, snapshot in run.states:
        state = {"run_id": run_id, "preference": run.adapter.preference, "phase": phase, "step": step}
        yield from ({**state, **_asked(transcript, snapshot)} for transcript in snapshot.rollouts)
        for index, rollout in enumerate(lines[step].rollout_batch if step in lines else ()):
            told = {"metric": "rollout", "group": "rollout", "key": f"rollout/{index}", "kind": "generate"}
            yield {**state, **told, "question": rollout.prompt, "answer": rollout.response}


def _asked(transcript: Transcript, snapshot: EvalSnapshot) -> Row:
    metadata = transcript.metadata
    error = metadata.error
    return {
        "metric": transcript.metric,
        "group": _group(transcript),
        "key": transcript.key,
        "kind": metadata.kind,
        "question": transcript.question,
        "answer": transcript.answer,
        **_judged(transcript, snapshot),
        "temperature": metadata.temperature,
        "completion_tokens": metadata.completion_tokens,
        "finish_reason": metadata.finish_reason,
        "truncated": metadata.truncated,
        "logprob_sum": metadata.logprob_sum,
        "latency_s": metadata.latency_s,
        "error": f"{error.kind}: {error.reason}" if error is not None else None,
    }


def _group(transcript: Transcript) -> str | None:
    """heldout_prompts of `compliance/heldout_prompts/3`; None where a metric has no groups."""
    parts = transcript.key.split("/")
    return parts[1] if len(parts) > 2 and not parts[1].isdigit() else None


def _judged(transcript: Transcript, snapshot: EvalSnapshot) -> Row:
    """What the verifier said of this answer, where it is a unit of its own."""
    group, last, general = _group(transcript), transcript.key.rsplit("/", 1)[-1], snapshot.stats.general
    units, unit = None, last
    if transcript.metric == "compliance" and group is not None:
        units, unit = snapshot.compliance_set(group), transcript.question
    elif transcript.metric == "general" and general is not None:
        units = {"seed": general.public_probes, "items": general.items}.get(group or "")
    if units is None:
        return {}
    return {"score": units.scores.get(unit), "passed": units.passed.get(unit), "detail": units.details.get(unit)}


def verdict_rows(run_id: str, run: PreferenceRun) -> Iterator[Row]:
    verdict = run.verdict
    told = {
        "run_id": run_id,
        "preference": verdict.preference,
        "overall": verdict.overall,
        "outcome": outcome_of(verdict),
    }
    if not verdict.criteria:  # nothing to judge yet, or measured only: the verdict itself is not to be lost
        yield {**told, "reason": verdict.sentence}
    for name, criterion in verdict.criteria.items():
        interval = criterion.interval
        yield {
            **told,
            "criterion": name,
            **{field: getattr(criterion, field) for field in _CRITERION_FIELDS},
            "lower": _field(interval, "lower"),
            "upper": _field(interval, "upper"),
            "level": _field(interval, "level"),
        }


def retention_rows(run_id: str, run: PreferenceRun) -> Iterator[Row]:
    """One row a state in which all preferences of a sequence were measured, and preference; `phase` 0: untouched.

    The numbers of a preference (`learned`, `retention`, …) stand in each of its rows. None for a preference alone.
    """
    record = run.verdict.retention
    for row in record.rows if record is not None else ():
        for name, cell in row.cells.items():
            numbers = record.numbers[name] if record is not None else None
            yield {
                "run_id": run_id,
                "preference": run.verdict.preference,
                "phase": row.phase,
                "step": row.step,
                "trained": row.trained,
                "measured": name,
                "obeyed": cell.value,
                "lower": _field(cell.interval, "lower"),
                "upper": _field(cell.interval, "upper"),
                "n": cell.n,
                **{key: _field(numbers, key) for key in RETENTION_COLUMNS[10:-1]},
                "reason": cell.reason,
            }


def _field(record: Record | None, name: str) -> Any:
    return getattr(record, name) if record is not None else None

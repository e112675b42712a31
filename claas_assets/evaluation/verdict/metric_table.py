"""Scored snapshots as rows: `metrics.csv`, one row per quantity and state, and the collapse series."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from claas_assets.evaluation.metrics import METRIC_NAMES, get_metric
from claas_assets.evaluation.metrics.collapse_alerts import alerts_along
from claas_assets.evaluation.metrics.scoring import prompt_sets
from claas_assets.evaluation.metrics.units import obedience
from claas_assets.evaluation.storage.records import (
    BASELINE_STEP,
    METRIC_COLUMNS,
    CollapsePoint,
    CollapseRecord,
    EvalSnapshot,
    Interval,
    Record,
    ScoredStep,
    UnitStats,
)


class Quantity(NamedTuple):
    """A number of one state. `name` is its dotted name, as in `EvalSnapshot.unmeasured`."""

    name: str
    unit: str  # nats | score | ratio | rate | tokens | bool
    value: float | bool | None
    n: int | None = None
    interval: Interval | None = None
    missing: int | None = None


UNITS = {
    "logprob_margin.positive_logprob": "nats",
    "logprob_margin.negative_logprob": "nats",
    "logprob_margin.margin": "nats",
    "logprob_margin.margin_delta_from_baseline": "nats",
    "logprob.margins": "nats",
    "logprob.per_token": "nats/token",
    "logprob.delta": "nats",
    "preference_compliance": "score",
    "general.coding_correct": "bool",
    "general.coding_has_docstring": "bool",
    "collapse.mean_entropy": "nats",
    "collapse.mean_logprob": "nats",
    "collapse.mean_logprob_drift": "nats",
    "collapse.entropy_ratio_to_baseline": "ratio",
    "collapse.alert": "bool",
    "collapse.entropy": "nats",
    "collapse.fixed_text": "nats/token",
    "collapse.fixed_text_drift": "nats/token",
    "collapse.fixed_text_words": "nats/token",
    "collapse.fixed_text_words_drift": "nats/token",
    "collapse.entropy_ratio": "ratio",
    "collapse.length_ratio": "ratio",
    "collapse.mean_length": "tokens",
}
"""Units by dotted name; everything else is a score in [0, 1] or a difference of such."""


def metric_rows(
    run_id: str, preference: str, baseline: EvalSnapshot, steps: Sequence[ScoredStep]
) -> list[dict[str, Any]]:
    """Rows with the columns of `METRIC_COLUMNS`, baseline first. Not measured: value None, and the reason.

    Of a sequence, `preference` in a row is the one that the number is about.
    """
    states = [("baseline", BASELINE_STEP, baseline), *(("step", step.step, step.eval) for step in steps)]
    return [
        _row({"run_id": run_id, "preference": whose, "phase": phase, "step": step}, found, quantity)
        for phase, step, snapshot in states
        for whose, found in {_trained(preference, step, steps): snapshot, **snapshot.beside}.items()
        for quantity in quantities_of(found)
    ]


def _trained(partition: str, step: int, steps: Sequence[ScoredStep]) -> str:
    """Whose numbers a state's own are: of a sequence, the preference that the step trained, or first will be."""
    return steps[max(step, 0)].preference if steps else partition


def _row(state: dict[str, Any], snapshot: EvalSnapshot, quantity: Quantity) -> dict[str, Any]:
    metric = _metric_of(quantity.name)
    reason = snapshot.unmeasured.get(quantity.name)
    row = {
        **state,
        "snapshot": snapshot.snapshot,
        "metric": metric,
        "quantity": quantity.name,
        "unit": quantity.unit,
        "value": quantity.value,
        "n": quantity.n,
        "lower": quantity.interval.lower if quantity.interval else None,
        "upper": quantity.interval.upper if quantity.interval else None,
        "missing": quantity.missing,
        "reason": f"{reason.kind}: {reason.reason}" if reason is not None and quantity.value is None else None,
        "version": _version(snapshot, metric),
    }
    return {column: row[column] for column in METRIC_COLUMNS}


_BY_PREFERENCE_FILE = ("logprob", "compliance")


def _version(snapshot: EvalSnapshot, metric: str) -> str:
    """The version that scored it, and what had another one when it was asked.

    E.g. "2 (was 1)" after the metric changed, "1, preference 2 (was 1)" after the preference file did.
    """
    if metric not in METRIC_NAMES:
        return ""
    sets = [*prompt_sets(get_metric(metric)), *(("preference",) if metric in _BY_PREFERENCE_FILE else ())]
    changed = [f"{name} {_then_and_now(snapshot, name)}" for name in sets if name in snapshot.rescored_from]
    return ", ".join([_then_and_now(snapshot, metric), *changed])


def _then_and_now(snapshot: EvalSnapshot, name: str) -> str:
    now = str(snapshot.versions.get(name, ""))
    return f"{now} (was {snapshot.rescored_from[name]})" if name in snapshot.rescored_from else now


_METRIC_OF_FIELD = {"logprob_margin": "logprob", "preference_compliance": "compliance"}


def _metric_of(name: str) -> str:
    first = name.split(".", 1)[0]
    return _METRIC_OF_FIELD.get(first, first)


# --- the quantities of a snapshot ------------------------------------------------------------


def quantities_of(snapshot: EvalSnapshot) -> list[Quantity]:
    """Every number of a snapshot in the order of the metrics, then what is missing and not among them.

    What has neither a value nor a reason was not asked in this snapshot, and has no row.
    """
    found = [quantity for metric in METRIC_NAMES for quantity in _renamed(_of_metric(snapshot, metric))]
    named = {quantity.name for quantity in found}
    unlisted = [Quantity(name, _unit(name), None) for name in snapshot.unmeasured if name not in named]
    return [q for q in [*found, *unlisted] if q.value is not None or q.name in snapshot.unmeasured]


def _renamed(quantities: Iterable[Quantity]) -> Iterator[Quantity]:
    """Self-ROUGE-L is there twice: of the ocean prompt (the public harness's field) and of all prompts."""
    named: set[str] = set()
    for quantity in quantities:
        yield quantity._replace(name=f"{quantity.name}.all_prompts") if quantity.name in named else quantity
        named.add(quantity.name)


def _of_metric(snapshot: EvalSnapshot, metric: str) -> Iterator[Quantity]:
    field = {"logprob": "logprob_margin", "compliance": "preference_compliance"}.get(metric, metric)
    value = getattr(snapshot, field, None)
    if isinstance(value, Record):
        yield from _of_record(value, field)
    elif value is not None or field in snapshot.unmeasured:
        yield Quantity(field, _unit(field), value)
    stats = getattr(snapshot.stats, metric, None)
    if stats is not None:
        yield from _of_value(stats, metric)


def _of_record(record: Record, prefix: str) -> Iterator[Quantity]:
    """The numbers in a record, and in the records and tables within it."""
    for name, field in type(record).model_fields.items():
        yield from _of_value(getattr(record, name), f"{prefix}.{field.serialization_alias or name}")


def _of_value(value: Any, name: str) -> Iterator[Quantity]:
    if isinstance(value, UnitStats):
        yield from _of_units(value, name)
    elif isinstance(value, Record):
        yield from _of_record(value, name)
    elif isinstance(value, dict) and value.keys() >= {"n", "mean", "scores"}:
        yield from _of_units(UnitStats.model_validate(value), name)  # of a metric added later, read from a file
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _of_value(part, f"{name.removesuffix('.sets')}.{key}")
    elif isinstance(value, bool | int | float) or value is None:
        yield Quantity(name, _unit(name), value)


def _of_units(units: UnitStats, name: str) -> Iterator[Quantity]:
    missing = len(units.missing)
    yield Quantity(name, _unit(name), units.mean, units.n, units.interval, missing)
    if units.pass_rate is not None:
        yield Quantity(f"{name}.pass_rate", "rate", units.pass_rate, len(units.passed), None, missing)
    if (obeyed := obedience(units)) is not None:
        yield Quantity(f"{name}.obeyed", "rate", obeyed.mean, obeyed.n, obeyed.interval, missing)
    if units.truncated:
        yield Quantity(f"{name}.truncated", "answers", units.truncated, units.n, None, missing)


def _unit(name: str) -> str:
    return UNITS.get(name, "score")


# --- collapse ---------------------------------------------------------------------------------


def collapse_series(
    run_id: str, preference: str, baseline: EvalSnapshot, steps: Sequence[ScoredStep]
) -> CollapseRecord:
    """Collapse wherever it was measured, and its alerts with their steps."""
    states = [(BASELINE_STEP, baseline), *((step.step, step.eval) for step in steps)]
    return CollapseRecord(
        preference=preference,
        run_id=run_id,
        series=[
            CollapsePoint(
                step=step,
                scores=snapshot.collapse,
                stats=snapshot.stats.collapse,
                unmeasured={k: v for k, v in snapshot.unmeasured.items() if _metric_of(k) == "collapse"},
            )
            for step, snapshot in states
            if snapshot.collapse is not None
        ],
        alerts=alerts_along(baseline, steps),
    )

"""The states of an adapter as a table: a column a quantity, a row the baseline and each step."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.overview import short_error
from claas_assets.evaluation.storage.records import EvalSnapshot, StepRecord, VerdictRecord
from claas_assets.evaluation.verdict.metric_table import Quantity, quantities_of
from claas_assets.viewer.loading import PreferenceRecords, Reason, load_preference, load_reasons, reasons_in

COLUMNS = {
    "compliance.heldout_prompts.obeyed": "obeys, held-out",
    "compliance.probe_prompts.obeyed": "obeys, trained",
    "compliance.heldout_prompts": "held-out score (told)",
    "preference_compliance": "compliance (told)",
    "compliance.over_application.pass_rate": "not over-applied",
    "logprob_margin.margin": "margin (told)",
    "logprob_margin.margin_delta_from_baseline": "Δ margin (told)",
    "general.general_score": "four probes (told)",
    "general.items": "items",
    "collapse.entropy_ratio_to_baseline": "entropy ratio",
    "collapse.self_rouge_l": "ROUGE-L",
    "collapse.rep4": "rep4",
    "collapse.fixed_text_words_drift": "drift",
}
"""Quantity → heading; the table's caption says the units. What is told decides nothing."""

_WITH_INTERVAL_OF = {"preference_compliance": "compliance.probe_prompts"}
ENGINE = {"distill_loss": "loss", "grad_norm": "grad norm", "kl_reg": "KL", "kl_mean": "KL", "adv_mean": "advantage"}


@dataclass(frozen=True)
class Cell:
    """A number, or why there is none. Both None: it was not due in this state."""

    quantity: Quantity | None = None
    reason: str | None = None


@dataclass(frozen=True)
class StateRow:
    """`name` is the state's page, `x` the feedback steps before it (0 = baseline)."""

    name: str
    x: int
    size: str
    cells: list[Cell]
    engine: list[float | None] = field(default_factory=list)
    updates: int | None = None
    seconds: float | None = None
    alerts: list[str] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class StateTable:
    columns: list[str]
    engine_columns: list[str]
    rows: list[StateRow]

    @property
    def width(self) -> int:
        return 5 + len(self.columns) + len(self.engine_columns)


def _size(snapshot: EvalSnapshot, step: StepRecord | None) -> str:
    """Of a sequence with the preference that the step trained, whose numbers the row has."""
    return snapshot.snapshot if step is None or not snapshot.beside else f"{snapshot.snapshot}, {step.preference}"


def state_table(records: PreferenceRecords) -> StateTable:
    """Only columns that some state has a number or a reason for."""
    states: list[tuple[EvalSnapshot, StepRecord | None]] = [(step.eval, step) for step in records.steps]
    if records.baseline is not None:
        states.insert(0, (records.baseline, None))
    cells = [_cells(snapshot) for snapshot, _ in states]
    used = [name for name in COLUMNS if any(row[name] != Cell() for row in cells)]
    reported = [name for name in ENGINE if any(name in (step.engine or {}) for step in records.steps)]
    rows = [
        _row(snapshot, step, [row[name] for name in used], reported)
        for (snapshot, step), row in zip(states, cells, strict=True)
    ]
    return StateTable([COLUMNS[name] for name in used], [ENGINE[name] for name in reported], rows)


def _row(snapshot: EvalSnapshot, step: StepRecord | None, cells: list[Cell], reported: list[str]) -> StateRow:
    alerts = list(snapshot.stats.collapse.alerts) if snapshot.stats.collapse else []
    if step is None:
        empty: list[float | None] = [None] * len(reported)
        return StateRow("baseline", 0, snapshot.snapshot, cells, empty, None, snapshot.duration_s, alerts)
    engine = [_number((step.engine or {}).get(name)) for name in reported]
    return StateRow(
        name=str(step.step), x=step.step + 1, size=_size(snapshot, step), cells=cells, engine=engine,
        updates=step.sub_step_count, seconds=step.timing_s, alerts=alerts, interrupted=step.interrupted,
    )  # fmt: skip


def _cells(snapshot: EvalSnapshot) -> dict[str, Cell]:
    quantities = {quantity.name: quantity for quantity in quantities_of(snapshot)}
    cells = {}
    for name in COLUMNS:
        quantity, missing = quantities.get(name), snapshot.unmeasured.get(name)
        if quantity is None or quantity.value is None:
            cells[name] = Cell(reason=f"{missing.kind}: {missing.reason}" if missing else None)
            continue
        source = quantities.get(_WITH_INTERVAL_OF.get(name, ""), quantity)
        cells[name] = Cell(quantity._replace(interval=source.interval, n=source.n))
    return cells


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# --- what is missing, and which versions scored what -----------------------------------------


@dataclass(frozen=True)
class Missing:
    """Quantities without a number for one reason, in the same states (feedback steps before them)."""

    preferences: list[str]
    quantities: list[str]
    reason: str
    states: list[int]


def missing_in(preferences: Iterable[PreferenceRecords]) -> tuple[list[Missing], list[str]]:
    """What is missing in these preferences, said once for all that share it; then what cannot be read.

    From what was scored last where that is of the steps recorded; else from the states as they were recorded.
    """
    states: dict[tuple[str, str, str], list[int]] = {}
    problems = []
    for records in preferences:
        try:
            rows = load_reasons(records.folder)
        except RunFolderError as error:
            problems.append(f"{records.name}: {short_error(error, records.folder)}")
            continue
        for quantity, reason, x in _missing_in_snapshots(records.folder) if rows is None else rows:
            states.setdefault((records.name, quantity, reason), []).append(x)
    shared: dict[tuple[str, tuple[int, ...]], Missing] = {}
    for (preference, quantity, reason), xs in states.items():
        row = shared.setdefault((reason, tuple(xs)), Missing([], [], reason, xs))
        row.preferences.extend({preference} - {*row.preferences})
        row.quantities.extend({quantity} - {*row.quantities})
    return list(shared.values()), problems


def _missing_in_snapshots(folder: Path) -> list[Reason]:
    scores = load_preference(folder).scores
    return reasons_in(scores) if scores is not None else []


def version_notes(verdict: VerdictRecord | None, last: EvalSnapshot | None) -> list[str]:
    """Where the numbers of a page were made by different versions, or the verdict by another than is installed."""
    from claas_assets.evaluation.metrics import METRIC_NAMES, get_metric

    if verdict is None:
        return []
    installed = {name: get_metric(name).version for name in METRIC_NAMES}
    notes = []
    for name, version in verdict.versions.items():
        asked = last.versions.get(name) if last else None
        if asked is not None and asked != version:
            notes.append(
                f"{name}: the verdict was scored by version {version}, the steps below when they were asked by "
                f"version {asked}: where the two differ, the verdict is the later reading"
            )
        if installed.get(name, version) != version:
            notes.append(
                f"{name}: the verdict was scored by version {version}; version {installed[name]} is installed. "
                "Materialize metric_table, collapse_snapshots, verdict and summary to score it again"
            )
    return notes

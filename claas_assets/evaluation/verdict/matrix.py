"""The retention matrix of a sequence, and the numbers made of it. Pure functions of the scored states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from claas_assets.evaluation.metrics.statistics import student_t
from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.storage.records import (
    BASELINE_STEP,
    Cell,
    EvalSnapshot,
    MatrixRow,
    PreferenceRetention,
    RetentionRecord,
    ScoredStep,
    SequenceRecord,
    Unmeasured,
)
from claas_assets.evaluation.verdict import measurements
from claas_assets.evaluation.verdict.measurements import BeforeAfter, Measurement, deciding_set

OBEYS = 0.8
"""Share of the trained prompts from which a preference counts as obeyed, in `steps_to_obey`."""


@dataclass(frozen=True)
class Row:
    """A state in which every preference was measured in full."""

    phase: int
    step: int
    trained: str | None
    snapshot: EvalSnapshot


@dataclass(frozen=True)
class Matrix:
    """The states of one sequence."""

    sequence: SequenceRecord
    rows: Sequence[Row]
    """The untouched adapter, then the ends of phases, in the order of time."""
    steps: Sequence[ScoredStep]

    @classmethod
    def of(cls, sequence: SequenceRecord, baseline: EvalSnapshot, steps: Sequence[ScoredStep]) -> Matrix:
        """Of the steps that are recorded: a phase that has not ended has no row."""
        rows, done = [Row(0, BASELINE_STEP, None, baseline)], [0] * len(sequence.phases)
        for step in steps:
            done[step.phase - 1] += 1
            if done[step.phase - 1] == sequence.phases[step.phase - 1].steps:
                rows.append(Row(step.phase, step.step, step.preference, step.eval))
        return cls(sequence, rows, steps)

    def own_rows(self, preference: str) -> list[int]:
        """The rows at the end of its phases."""
        return [index for index, row in enumerate(self.rows) if row.trained == preference]

    def row_before(self, preference: str) -> int:
        """The last row before its first step: what it is compared with to say that it was learned."""
        first = next((step.step for step in self.steps if step.preference == preference), len(self.steps))
        return max(index for index, row in enumerate(self.rows) if row.step < first)

    def between(self, preference: str, then: int, now: int) -> BeforeAfter:
        """Two rows as one preference has them. The noise floor is the untouched adapter's."""
        before, floor = self.rows[then].snapshot.of(preference), self.rows[0].snapshot.of(preference)
        own, asked = before.stats.compliance, floor.stats.compliance
        if own is not None and asked is not None:
            compliance = own.model_copy(update={"noise": asked.noise})
            before = before.model_copy(update={"stats": before.stats.model_copy(update={"compliance": compliance})})
        return BeforeAfter(before, self.rows[now].snapshot.of(preference))

    def learned(self, preference: str) -> Measurement | Unmeasured | None:
        """At the end of its first phase against the row before; None while that has not ended."""
        own = self.own_rows(preference)
        return measurements.obeyed(self.between(preference, self.row_before(preference), own[0])) if own else None

    def retained(self, preference: str) -> Measurement | Unmeasured | None:
        """The last row against that of its last own phase; None where nothing was trained after that."""
        own = self.own_rows(preference)
        if not own or own[-1] == len(self.rows) - 1:
            return None
        return measurements.obeyed(self.between(preference, own[-1], len(self.rows) - 1))

    def cell(self, row: int, preference: str) -> Cell:
        snapshot, name = self.rows[row].snapshot.of(preference), self.deciding(preference)
        units = obeyed_in(snapshot, name)
        if units is None or units.mean is None:
            why = snapshot.unmeasured.get(f"compliance.{name}")
            return Cell(
                value=None, reason=why.reason if why else "compliance was not asked, or its answers are missing"
            )
        return Cell(value=units.mean, interval=units.interval, n=units.n)

    def deciding(self, preference: str) -> str:
        """The set of prompts that decides: the held-out ones where there are such."""
        untouched = self.rows[0].snapshot.of(preference)
        return deciding_set(BeforeAfter(untouched, untouched))

    def on_trained_prompts(self, preference: str) -> list[float | None]:
        """The share of its trained prompts that obeyed, of the untouched adapter and after each step."""
        states = [self.rows[0].snapshot, *(step.eval for step in self.steps)]
        units = [obeyed_in(state.of(preference), "probe_prompts") for state in states]
        return [None if found is None else found.mean for found in units]


def retention(matrix: Matrix) -> RetentionRecord:
    """The matrix as a record, with its numbers."""
    names = matrix.sequence.preferences
    rows = [
        MatrixRow(
            phase=row.phase,
            step=row.step,
            trained=row.trained,
            cells={name: matrix.cell(index, name) for name in names},
        )
        for index, row in enumerate(matrix.rows)
    ]
    record = RetentionRecord(
        preferences=names, rows=rows, numbers={name: _numbers(matrix, name, rows) for name in names}
    )
    kept = [found.retention for found in record.numbers.values() if found.retention is not None]
    if not kept:
        return record
    return record.model_copy(
        update={
            "backward_transfer": fmean(kept),
            "backward_transfer_range": (min(kept), max(kept)),
            "backward_transfer_interval": student_t(kept),
        }
    )


def _numbers(matrix: Matrix, name: str, rows: Sequence[MatrixRow]) -> PreferenceRetention:
    own, before = matrix.own_rows(name), matrix.row_before(name)
    values = [row.cells[name].value for row in rows]
    learned, retained = matrix.learned(name), matrix.retained(name)
    since = [value for value in values[own[0] :] if value is not None] if own else []
    kept = retained if isinstance(retained, Measurement) else None
    return PreferenceRetention(
        own_rows=own,
        learned=learned.change if isinstance(learned, Measurement) else None,
        retention=kept.change if kept else None,
        interval=kept.interval if kept else None,
        n=kept.n if kept else None,
        forgetting=max(since) - values[-1] if since and values[-1] is not None else None,
        forward_transfer=_difference(values[before], values[0]),
        half_life=_half_life(matrix, name),
        steps_to_obey=_steps_to_obey(matrix, name),
        opposes=matrix.sequence.opposes.get(name),
    )


def _difference(now: float | None, then: float | None) -> float | None:
    return None if now is None or then is None else now - then


def _half_life(matrix: Matrix, name: str) -> int | None:
    """Steps after its last own phase until half of what was learned on trained prompts is lost."""
    own = matrix.own_rows(name)
    if not own:
        return None
    curve = matrix.on_trained_prompts(name)
    end = matrix.rows[own[-1]].step + 1
    untaught, taught = curve[matrix.rows[matrix.row_before(name)].step + 1], curve[end]
    if untaught is None or taught is None or taught <= untaught:
        return None
    half = (taught + untaught) / 2
    later = enumerate(curve[end + 1 :], 1)
    return next((count for count, value in later if value is not None and value <= half + 1e-9), None)


def _steps_to_obey(matrix: Matrix, name: str) -> int | None:
    curve = matrix.on_trained_prompts(name)
    first = next((step.phase for step in matrix.steps if step.preference == name), None)
    own = [curve[step.step + 1] for step in matrix.steps if step.phase == first]
    return next((count for count, value in enumerate(own, 1) if value is not None and value >= OBEYS - 1e-9), None)

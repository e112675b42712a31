"""From records to what is drawn: a preference's states, and one quantity along them. No matplotlib here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from claas_assets.evaluation.storage.records import (
    EvalSnapshot,
    Interval,
    ScoredStep,
    ScoresRecord,
    UnitStats,
    VerdictRecord,
    current,
)

NO_REASON = "no reason was recorded"


@dataclass(frozen=True)
class State:
    """The adapter after `x` feedback steps; 0 is the baseline."""

    x: int
    snapshot: EvalSnapshot


@dataclass(frozen=True)
class Run:
    """What is drawn of one preference: its scores, and the verdict that they were given, where there is one."""

    scores: ScoresRecord
    verdict: VerdictRecord | None

    @property
    def name(self) -> str:
        return self.scores.preference

    @property
    def each(self) -> list[Run]:
        """Of a sequence, a run of every preference: all states as that preference has them. Else this one."""
        sequence = self.scores.sequence
        return [self] if sequence is None else [self._of(name) for name in sequence.preferences]

    def _of(self, name: str) -> Run:
        scores, verdict = self.scores, self.verdict
        steps = [step.model_copy(update={"eval": step.eval.of(name)}) for step in scores.steps]
        baseline = scores.baseline.of(name) if scores.baseline is not None else None
        own = scores.model_copy(update={"preference": f"{self.name}: {name}", "baseline": baseline, "steps": steps})
        if verdict is not None:
            learned = verdict.criteria.get(f"learned.{name}")
            criteria = {} if learned is None else {"obeyed": learned}
            verdict = verdict.model_copy(update={"criteria": criteria})
        return Run(own, verdict)

    @property
    def phase_ends(self) -> list[tuple[int, str]]:
        """(x, preference) of the end of each phase of a sequence that trains one after the other; else none."""
        sequence = self.scores.sequence
        if sequence is None or sequence.schedule != "sequential":
            return []
        ends = accumulate(phase.steps for phase in sequence.phases)
        return [(end, phase.preference) for end, phase in zip(ends, sequence.phases, strict=True)]

    @property
    def baseline(self) -> EvalSnapshot | None:
        return self.scores.baseline

    @property
    def steps(self) -> list[ScoredStep]:
        return self.scores.steps

    @property
    def asked(self) -> int:
        return self.scores.num_steps

    @property
    def states(self) -> tuple[State, ...]:
        return tuple(State(step + 1, snapshot) for step, snapshot in self.scores.states)

    @property
    def judged(self) -> VerdictRecord | None:
        """The verdict, unless it is older than the steps; its thresholds hold for any."""
        return current(self.verdict, len(self.steps))

    @property
    def progress(self) -> str:
        """Empty where every step is recorded."""
        return "" if self.asked <= len(self.steps) else f"{len(self.steps)} of {self.asked} steps"

    @property
    def last_x(self) -> int:
        return self.steps[-1].step + 1 if self.steps else 0

    @property
    def end(self) -> int:
        """Where the axis ends: the last step that is recorded or was asked for."""
        return max(self.asked, self.last_x)

    @property
    def learning(self) -> str:
        """The name of the criterion on what was learned."""
        return self.verdict.learning if self.verdict else "obeyed"

    def decides(self, criterion: str) -> bool:
        """Whether the verdict stands on it; a bound of what does not is not drawn as one."""
        return (
            self.verdict is not None and criterion in self.verdict.criteria and self.verdict.criteria[criterion].decides
        )

    def thresholds(self, criterion: str) -> dict[str, float]:
        """The bounds that the verdict was given for, by name; none without a verdict."""
        if self.verdict is None or criterion not in self.verdict.criteria:
            return {}
        bounds = self.verdict.criteria[criterion].threshold
        return {name.removesuffix("_at"): value for name, value in bounds.items()}


@dataclass(frozen=True)
class Measured:
    """A quantity in one state. `n` units entered it; `left_out` says how many had no answer, and why."""

    value: float | None
    interval: Interval | None = None
    n: int | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Quantity:
    """Something drawn along the states.

    `reasons`: the dotted names under which `EvalSnapshot.unmeasured` says why it is missing; an entry for
    what a name is part of counts too ("collapse" for "collapse.mean_entropy").
    `every_state`: asked in each snapshot, so that a state without value and without reason is a gap as well;
    otherwise such a state was simply not due.
    """

    label: str
    read: Callable[[Run, State], Measured]
    reasons: tuple[str, ...]
    every_state: bool = False


@dataclass(frozen=True)
class Point:
    """`value` is NaN where it was due and not measured: a gap in the line."""

    x: int
    value: float
    interval: Interval | None = None
    n: int | None = None

    @property
    def measured(self) -> bool:
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Note:
    """Something that a picture must not hide about one state of one preference."""

    preference: str
    x: int
    text: str


@dataclass(frozen=True)
class Trace:
    points: tuple[Point, ...]
    notes: tuple[Note, ...]

    @property
    def last(self) -> Point | None:
        return next((point for point in reversed(self.points) if point.measured), None)

    @property
    def sizes(self) -> str:
        return sizes_of(self.points)


def sizes_of(points: Sequence[Point]) -> str:
    """The n of these points: "10", "9–10", or empty where none is recorded."""
    counts = sorted({point.n for point in points if point.measured and point.n is not None})
    return "–".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) if counts else ""


def runs_of(scores: Mapping[str, ScoresRecord], verdicts: Mapping[str, VerdictRecord]) -> list[Run]:
    """One `Run` a preference, by name."""
    return [Run(scores[name], verdicts.get(name)) for name in sorted(scores)]


def trace(run: Run, quantity: Quantity) -> Trace:
    """The quantity along the run's states, and a note for every state that lacks it or a part of it."""
    points: list[Point] = []
    notes: list[Note] = []
    readings = [(state, quantity.read(run, state)) for state in run.states]
    asked_at_all = any(_is_number(measured.value) for _, measured in readings)
    for state, measured in readings:
        if _is_number(measured.value):
            points.append(Point(state.x, float(measured.value or 0.0), measured.interval, measured.n))
            if measured.left_out:
                notes.append(Note(run.name, state.x, f"{quantity.label}: {measured.left_out}"))
            continue
        reason = _why_missing(state.snapshot, quantity, measured, asked_at_all)
        if reason is not None:
            points.append(Point(state.x, math.nan))
            notes.append(Note(run.name, state.x, f"{quantity.label} not measured: {reason}"))
    return Trace(points=tuple(points), notes=tuple(notes))


def _why_missing(snapshot: EvalSnapshot, quantity: Quantity, measured: Measured, asked_at_all: bool) -> str | None:
    """Why there is no number; None where it was not due in this state."""
    reason = reason_for(snapshot, quantity.reasons)
    if reason is not None:
        return reason
    if measured.value is not None:
        return f"the recorded value is {measured.value}, not a finite number"
    return NO_REASON if quantity.every_state and asked_at_all else None


def reason_for(snapshot: EvalSnapshot, names: Sequence[str]) -> str | None:
    """The recorded reason of the first of these dotted names that has one, or of what it is part of.

    `stats.` at the beginning of a recorded name is not part of it here.
    """
    recorded = {key.removeprefix("stats."): missing.reason for key, missing in snapshot.unmeasured.items()}
    for name in names:
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            reason = recorded.get(".".join(parts[:length]))
            if reason is not None:
                return reason
    return None


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def of_units(stats: UnitStats | None, value: float | None = None) -> Measured:
    """A mean over units. `value` is the field of the public harness, where the mean has one."""
    if stats is None:
        return Measured(value)
    return Measured(
        value=stats.mean if stats.mean is not None else value,
        interval=stats.interval,
        n=stats.n,
        left_out=left_out(stats),
    )


def left_out(stats: UnitStats) -> str | None:
    """Said in the picture, because the mean of what did answer looks like the mean of all."""
    if not stats.missing:
        return None
    reason = next(iter(stats.missing.values()))
    return f"{len(stats.missing)} of {stats.n + len(stats.missing)} without an answer: {reason}"


def worded(notes: Sequence[Note]) -> list[str]:
    """Notes as lines: the same thing said of several states and preferences is said once."""
    states: dict[tuple[str, str], list[int]] = {}
    for note in notes:
        xs = states.setdefault((note.text, note.preference), [])
        if note.x not in xs:
            xs.append(note.x)
    names: dict[tuple[str, str], list[str]] = {}
    for (text, preference), xs in states.items():
        names.setdefault((text, _when(sorted(xs))), []).append(preference)
    return [f"{', '.join(who)}, {when}: {text}" for (text, when), who in names.items()]


def _when(xs: Sequence[int]) -> str:
    """[0, 1, 2, 5] → "baseline and after 1–2, 5 steps"."""
    ranges: list[list[int]] = []
    for x in (x for x in xs if x > 0):
        if ranges and x == ranges[-1][1] + 1:
            ranges[-1][1] = x
        else:
            ranges.append([x, x])
    spans = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in ranges)
    after = f"after {spans} step{'' if spans == '1' else 's'}" if spans else ""
    return " and ".join(part for part in ("baseline" if 0 in xs else "", after) if part)

"""margins.png: change of the logprob margin since the baseline, with its t interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import (
    Measured,
    Note,
    Quantity,
    Run,
    State,
    Trace,
    left_out,
    of_units,
    trace,
)
from claas_assets.evaluation.figures.sheet import (
    BLUE,
    GRAY,
    Heading,
    Sheet,
    caption,
    feedback_axis,
    finish,
    look,
    new_sheet,
    say_instead,
    value_axis,
)
from claas_assets.evaluation.metrics.statistics import student_t
from claas_assets.evaluation.storage.records import UnitStats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING = Heading(
    "Does the model favor the preferred answer?",
    "Change of the logprob margin (preferred − dispreferred) since the baseline. Necessary, not sufficient.",
)


def change(run: Run, state: State) -> Measured:
    """Nats, mean over pairs. The baseline's own change is 0, where its margin was measured."""
    margin, stats = state.snapshot.logprob_margin, state.snapshot.stats.logprob
    if state.x == 0:
        measured = margin is not None and margin.margin is not None
        found = of_units(stats.margins if stats else None)
        return Measured(0.0 if measured else None, n=found.n, left_out=found.left_out)
    field = margin.margin_delta_from_baseline if margin else None
    if stats is None:
        return Measured(field)
    found = _paired(run, stats.margins, field) if stats.delta is None else of_units(stats.delta, field)
    return replace(found, left_out=left_out(stats.margins))


def _paired(run: Run, now: UnitStats, field: float | None) -> Measured:
    """From the margins of each pair, where a record has them and no difference."""
    before = run.baseline.stats.logprob if run.baseline else None
    then = before.margins.scores if before else {}
    differences = [score - then[pair] for pair, score in now.scores.items() if pair in then]
    if not differences:
        return Measured(field)
    return Measured(fmean(differences), interval=student_t(differences), n=len(differences))


CHANGE = Quantity(
    "logprob margin", change,
    ("logprob_margin.margin", "logprob_margin.margin_delta_from_baseline", "logprob.margins", "logprob.delta"),
    every_state=True,
)  # fmt: skip


def margins_figure(runs: Sequence[Run]) -> Figure:
    sheet = new_sheet(len(runs))
    notes: list[Note] = []
    for index, run in enumerate(runs):
        notes.extend(_panel(sheet, index, run).notes)
    return finish(sheet, HEADING, notes)


def _panel(sheet: Sheet, index: int, run: Run) -> Trace:
    axes, found = sheet.panels[index], trace(run, CHANGE)
    feedback_axis(axes, max(run.asked, run.last_x))
    caption(
        sheet, index, run.name, captions.standing(run), captions.counted((found, "pairs")), _change_in_words(run, found)
    )
    if found.last is None:
        say_instead(sheet, index, captions.nothing(run, found))
        return found
    marks.not_run_yet(axes, run)
    axes.axhline(0, color=GRAY, linewidth=0.8, zorder=1)
    marks.line(axes, found.points, look(0), label="change of margin, mean over pairs")
    marks.band(axes, found.points, color=BLUE, label="95 % t interval")
    marks.bounds(axes, run.thresholds("logprob_margin"), unit=" nats")
    if sheet.is_leftmost(index):
        value_axis(axes, "change of margin (nats)")
    return found


def _change_in_words(run: Run, found: Trace) -> str:
    if found.last is None or found.last.x == 0:
        return ""
    change = captions.said(found.last.value, found.last.interval, " nats", signed=True)
    return change + captions.evidence_of(run, "logprob_margin")

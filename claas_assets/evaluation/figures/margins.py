"""margins.png: change of the logprob margin since the baseline, with its t interval."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from matplotlib.figure import Figure

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
from claas_assets.evaluation.figures.sheet import BLUE, GRAY, Heading, Panel, drawn, look
from claas_assets.evaluation.metrics.statistics import student_t
from claas_assets.evaluation.storage.records import UnitStats

HEADING = Heading(
    "Does the model favor the preferred answer?",
    "Change of the logprob margin (preferred − dispreferred) since the baseline. It is told, and does not decide.",
)


def change(run: Run, state: State) -> Measured:
    """Nats, mean over pairs. The baseline's own change is 0, where its margin was measured."""
    margin, stats = state.snapshot.logprob_margin, state.snapshot.stats.logprob
    if state.x == 0:
        measured = margin is not None and margin.margin is not None
        return replace(of_units(stats.margins if stats else None), value=0.0 if measured else None, interval=None)
    field = margin.margin_delta_from_baseline if margin else None
    if stats is None:
        return Measured(field)
    paired = _paired(run, stats.margins, field) if stats.delta is None else of_units(stats.delta, field)
    return replace(paired, left_out=left_out(stats.margins))


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
    return drawn(HEADING, [each for run in runs for each in run.each], _panel)


def _panel(panel: Panel, run: Run) -> Sequence[Note]:
    axes, margin = panel.axes, trace(run, CHANGE)
    words = _change_in_words(run, margin)
    if marks.opened(panel, run, {"pairs": margin}, words, "change of margin (nats)"):
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=1)
        marks.line(axes, margin.points, look(0), label="change of margin, mean over pairs")
        marks.band(axes, margin.points, color=BLUE, label="95 % t interval")
        marks.bounds(axes, run.thresholds("logprob_margin"), unit=" nats")
    return margin.notes


def _change_in_words(run: Run, margin: Trace) -> str:
    if margin.last is None or margin.last.x == 0:
        return ""
    change = captions.said(margin.last.value, margin.last.interval, " nats", signed=True)
    return change + captions.evidence_of(run, "logprob_margin")

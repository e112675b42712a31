"""learning_curves.png: compliance on the trained-on prompts, and on held-out ones where it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import (
    Measured,
    Note,
    Quantity,
    Run,
    State,
    of_units,
    reason_for,
    trace,
)
from claas_assets.evaluation.figures.sheet import (
    GRAY,
    VERMILLION,
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
from claas_assets.evaluation.metrics.statistics import noise_floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING = Heading(
    "Does it do what the user asked?",
    "Compliance, judged by program: 0 = never, 1 = always. The held-out prompts are never trained on; "
    "bars are 95\u00a0% Wilson intervals.",
)


def _set(name: str, state: State, field: float | None = None) -> Measured:
    stats = state.snapshot.stats.compliance
    return of_units(stats.sets.get(name) if stats else None, field)


TRAINED = Quantity(
    "compliance on trained-on prompts",
    lambda run, state: _set("probe_prompts", state, state.snapshot.preference_compliance),
    ("preference_compliance", "compliance.probe_prompts"),
    every_state=True,
)
HELD_OUT = Quantity(
    "compliance on held-out prompts",
    lambda run, state: _set("heldout_prompts", state),
    ("compliance.heldout_prompts", "preference_compliance.heldout_prompts"),
)


def ceiling(run: Run) -> float | None:
    """Compliance of the untrained model with the feedback in the prompt: could it obey at all?"""
    stats = run.baseline.stats.compliance if run.baseline else None
    units = stats.sets.get("ceiling") if stats else None
    return units.mean if units else None


def noise_level(run: Run) -> float | None:
    """Baseline + φ: a mean below this line may be the server's noise alone.

    φ is the verdict's where it has one, else that of the baseline's two passes for the same n.
    """
    stats = run.baseline.stats.compliance if run.baseline else None
    units = (stats.sets.get("heldout_prompts") or stats.sets.get("probe_prompts")) if stats else None
    if stats is None or units is None or units.mean is None:
        return None
    criterion = run.judged.criteria.get("compliance") if run.judged else None
    floor = criterion.floor if criterion else None
    floor = noise_floor(stats.noise, units.n) if floor is None else floor
    return None if floor is None else units.mean + floor


def _unknown_levels(run: Run) -> list[Note]:
    """Why a line is not there."""
    if run.baseline is None:
        return []
    reasons = {name: reason_for(run.baseline, (f"compliance.{name}",)) for name in ("ceiling", "noise")}
    return [Note(run.name, 0, f"{name} not measured: {reason}") for name, reason in reasons.items() if reason]


def learning_curves_figure(runs: Sequence[Run]) -> Figure:
    sheet = new_sheet(len(runs))
    notes: list[Note] = []
    for index, run in enumerate(runs):
        notes.extend(_panel(sheet, index, run))
    return finish(sheet, HEADING, notes)


def _panel(sheet: Sheet, index: int, run: Run) -> list[Note]:
    axes, trained, held_out = sheet.panels[index], trace(run, TRAINED), trace(run, HELD_OUT)
    feedback_axis(axes, max(run.asked, run.last_x))
    sizes = captions.counted((trained, "trained-on"), (held_out, "held-out"))
    caption(sheet, index, run.name, captions.standing(run), sizes, captions.change_of(run, "compliance"))
    notes = [*trained.notes, *held_out.notes, *_unknown_levels(run)]
    if trained.last is None and held_out.last is None:
        say_instead(sheet, index, captions.nothing(run, trained))
        return notes
    marks.not_run_yet(axes, run)
    axes.set_ylim(-0.03, 1.03)
    marks.line(axes, trained.points, look(0), label="trained-on prompts")
    marks.diamonds(axes, held_out.points, color=VERMILLION, label="held-out prompts (full snapshot)")
    _levels(axes, run)
    if sheet.is_leftmost(index):
        value_axis(axes, "compliance (0–1)")
    return notes


def _levels(axes: Axes, run: Run) -> None:
    top, floor = ceiling(run), noise_level(run)
    if top is not None:
        marks.level(axes, top, "ceiling: untrained, feedback in the prompt", color="#009E73", style="-")
    if floor is not None:
        marks.level(axes, floor, "noise floor above the baseline", color=GRAY, style="-")
    marks.bounds(axes, run.thresholds("compliance"))

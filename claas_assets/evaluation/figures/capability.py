"""capability.png: forgetting. The seed's four probes at every step, the 48 items where it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import Measured, Note, Quantity, Run, State, Trace, of_units, trace
from claas_assets.evaluation.figures.sheet import (
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING = Heading(
    "Is it still able?",
    "Share solved: four probes (half coding, half instructions) at every step, the item set where it decides; "
    "bars are 95\u00a0% Wilson intervals.",
)


def four(run: Run, state: State) -> Measured:
    """`general_score = 0.5·coding_correct + 0.5·ifeval_pass_rate`: not the mean of the four units."""
    general, stats = state.snapshot.general, state.snapshot.stats.general
    return Measured(general.general_score if general else None, n=stats.public_probes.n if stats else None)


def items(run: Run, state: State) -> Measured:
    stats = state.snapshot.stats.general
    return of_units(stats.items if stats else None)


FOUR = Quantity(
    "score of the four probes",
    four,
    ("general.general_score", "general.coding_correct", "general.ifeval_pass_rate"),
    every_state=True,
)
ITEMS = Quantity("share of items solved", items, ("general.items",))


def bounds(run: Run, of_four: Trace, of_items: Trace) -> dict[str, float]:
    """The criterion that decides, as levels: baseline + tolerated change of the items, else baseline × ratio."""
    change, start = run.thresholds("capability_change"), _baseline(of_items)
    if change and start is not None:
        return {name: start + bound for name, bound in change.items()}
    ratio, start = run.thresholds("capability_ratio"), _baseline(of_four)
    return {} if start is None else {name: start * bound for name, bound in ratio.items()}


def _baseline(found: Trace) -> float | None:
    first = found.points[0] if found.points else None
    return first.value if first is not None and first.x == 0 and first.measured else None


def capability_figure(runs: Sequence[Run]) -> Figure:
    sheet = new_sheet(len(runs))
    notes: list[Note] = []
    for index, run in enumerate(runs):
        notes.extend(_panel(sheet, index, run))
    return finish(sheet, HEADING, notes)


def _panel(sheet: Sheet, index: int, run: Run) -> list[Note]:
    axes, of_four, of_items = sheet.panels[index], trace(run, FOUR), trace(run, ITEMS)
    feedback_axis(axes, max(run.asked, run.last_x))
    sizes = captions.counted((of_four, "probes"), (of_items, "items"))
    caption(sheet, index, run.name, captions.standing(run), sizes, captions.change_of(run, "capability_change"))
    notes = [*of_four.notes, *of_items.notes]
    if of_four.last is None and of_items.last is None:
        say_instead(sheet, index, captions.nothing(run, of_four))
        return notes
    marks.not_run_yet(axes, run)
    axes.set_ylim(-0.03, 1.03)
    marks.line(axes, of_four.points, look(0), label="four probes")
    marks.diamonds(axes, of_items.points, color=VERMILLION, label="item set (full snapshot)")
    _draw_bounds(axes, bounds(run, of_four, of_items))
    if sheet.is_leftmost(index):
        value_axis(axes, "share solved (0–1)")
    return notes


def _draw_bounds(axes: Axes, levels: dict[str, float]) -> None:
    """The two bounds of a change may be the same number: one line then."""
    if len(set(levels.values())) == 1:
        marks.bound(axes, "fail", next(iter(levels.values())), "tolerated loss, from the baseline")
        return
    for name, value in levels.items():
        marks.bound(axes, name, value, f"{name} bound, from the baseline")

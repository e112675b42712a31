"""capability.png: forgetting. The public harness's four probes at every step, the items where it decides."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import Measured, Note, Quantity, Run, State, Trace, of_units, trace
from claas_assets.evaluation.figures.sheet import Heading, Panel, drawn

HEADING = Heading(
    "Is it still able?",
    "Share solved: the item set decides; the four public probes (half coding, half instructions) do not; "
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
    """What decides, as levels: baseline − tolerated harm of the items; else, in version 0.1.0, baseline × ratio."""
    change, start = run.thresholds("capability_change"), _baseline(of_items)
    if change and start is not None:  # version 0.1.0 had a change, with its sign, where there is a margin of harm
        return {name: start - bound if name == "harm_margin" else start + bound for name, bound in change.items()}
    ratio = run.thresholds("capability_ratio") if run.decides("capability_ratio") else {}
    start = _baseline(of_four)
    return {} if start is None else {name: start * bound for name, bound in ratio.items()}


def _baseline(trace: Trace) -> float | None:
    first = trace.points[0] if trace.points else None
    return first.value if first is not None and first.x == 0 and first.measured else None


def capability_figure(runs: Sequence[Run]) -> Figure:
    return drawn(HEADING, runs, _panel)


def _panel(panel: Panel, run: Run) -> list[Note]:
    of_four, of_items = trace(run, FOUR), trace(run, ITEMS)
    traces = {"probes": of_four, "items": of_items}
    if marks.opened(panel, run, traces, captions.change_of(run, "capability_change"), "share solved (0–1)"):
        told = "four probes (told, do not decide)"
        marks.shares(panel.axes, (of_four, told), (of_items, "item set (full snapshot)"))
        _draw_bounds(panel.axes, bounds(run, of_four, of_items))
    return [*of_four.notes, *of_items.notes]


def _draw_bounds(axes: Axes, levels: dict[str, float]) -> None:
    """The two bounds of a change may be the same number: one line then."""
    if len(set(levels.values())) == 1:
        marks.bound(axes, "fail", next(iter(levels.values())), "tolerated loss, from the baseline")
        return
    for name, value in levels.items():
        marks.bound(axes, name, value, f"{name} bound, from the baseline")

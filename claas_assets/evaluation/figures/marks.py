"""What is drawn in a panel. One grammar in all pictures: a line with dots is asked after every step, a
diamond is a full snapshot (it decides), a band or a bar is its interval, a broken line is a bound.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes

from claas_assets.evaluation.figures import captions
from claas_assets.evaluation.figures.series import Point, Run, Trace
from claas_assets.evaluation.figures.sheet import FONT, GRAY, VERMILLION, Look, Panel, drawable, look

Side = Literal["above", "below"]

_ALERT, _SHADE = "#B2182B", "#f0f0f0"
_BOUND_DASHES = {"pass": (0, (5, 2)), "fail": (0, (1, 1.6))}


def opened(panel: Panel, run: Run, traces: Mapping[str, Trace], change: str, unit: str) -> bool:
    """A panel for one preference: its axes, how far it came, its n (`traces` by their units) and its `change`.

    False where no trace has a value: the panel then says why, and nothing is to be drawn.
    """
    panel.feedback_axis(run.end)
    panel.caption(run.name, captions.standing(run), captions.counted(traces), change)
    if all(trace.last is None for trace in traces.values()):
        panel.say_instead(captions.nothing(run, next(iter(traces.values()))))
        return False
    not_run_yet(panel.axes, run)
    phases(panel.axes, run)
    if panel.leftmost:
        panel.value_axis(unit)
    return True


def shares(axes: Axes, often: tuple[Trace, str], full: tuple[Trace, str]) -> None:
    """Two shares with their labels: the one asked after every step, and the one of full snapshots."""
    axes.set_ylim(-0.03, 1.03)
    line(axes, often[0].points, look(0), label=often[1])
    diamonds(axes, full[0].points, color=VERMILLION, label=full[1])


def line(axes: Axes, points: Sequence[Point], look: Look, *, label: str) -> None:
    """Value by feedback steps. A NaN breaks the line; a value alone between two gaps is always a dot."""
    crowded = len(points) > 40
    axes.plot(
        [point.x for point in points], [point.value for point in points], color=look.color, label=drawable(label),
        marker="" if crowded else look.marker, linestyle=look.style, markersize=4.5, linewidth=1.7, zorder=3,
        clip_on=False,
    )  # fmt: skip
    lone = _alone(points, lambda point: point.measured) if crowded else []
    if lone:
        axes.plot(
            [point.x for point in lone], [point.value for point in lone], color=look.color, marker=look.marker,
            linestyle="", markersize=4, zorder=3, clip_on=False,
        )  # fmt: skip


def band(axes: Axes, points: Sequence[Point], *, color: str, label: str) -> None:
    """The intervals along a line; a bar where a point has no neighbor with an interval."""
    if not any(point.interval for point in points):
        return
    axes.fill_between(
        [point.x for point in points], [_lower(point) for point in points], [_upper(point) for point in points],
        color=color, alpha=0.18, linewidth=0, label=drawable(label), zorder=1.5,
    )  # fmt: skip
    bars(axes, _alone(points, lambda point: point.interval is not None), color=color)


def bars(axes: Axes, points: Sequence[Point], *, color: str) -> None:
    """An interval as a bar: it need not lie around the value, so it is not an error bar."""
    known = [point for point in points if point.interval is not None]
    if known:
        axes.vlines(
            [point.x for point in known], [_lower(point) for point in known], [_upper(point) for point in known],
            color=color, linewidth=1.6, zorder=3.5, clip_on=False,
        )  # fmt: skip


def diamonds(axes: Axes, points: Sequence[Point], *, color: str, label: str) -> None:
    """Full snapshots, with their intervals."""
    known = [point for point in points if point.measured]
    bars(axes, known, color=color)
    _markers(axes, known, label=label, face=color, edge="white")


def hollow_diamonds(axes: Axes, points: Sequence[Point], *, color: str, label: str) -> None:
    """Full snapshots of several preferences in one panel. In the legend once, without a preference's color."""
    known = [point for point in points if point.measured]
    _markers(axes, known, label="_nolegend_", face="white", edge=color)
    if known:
        axes.plot([], [], linestyle="", marker="D", markersize=7, markerfacecolor="white", markeredgecolor=GRAY,
                  label=drawable(label))  # fmt: skip


def _markers(axes: Axes, points: Sequence[Point], *, label: str, face: str, edge: str) -> None:
    if points:
        axes.plot(
            [point.x for point in points], [point.value for point in points], linestyle="", marker="D", markersize=7,
            markerfacecolor=face, markeredgecolor=edge, label=drawable(label), zorder=4, clip_on=False,
        )  # fmt: skip


def bound(axes: Axes, name: str, value: float, label: str) -> None:
    """A horizontal line at a threshold; `name` (pass, fail, …) chooses its dashes."""
    axes.axhline(
        value, color=GRAY, linewidth=1.2, linestyle=_BOUND_DASHES.get(name, (0, (3, 1, 1, 1))), zorder=2,
        label=drawable(label),
    )  # fmt: skip


def bounds(axes: Axes, thresholds: Mapping[str, float], *, unit: str = "") -> None:
    """The thresholds of one criterion, with their values in the legend."""
    for name, value in thresholds.items():
        bound(axes, name, value, f"{name} at {value:g}{unit}")


def level(axes: Axes, value: float, label: str, *, color: str, style: str) -> None:
    """A measured level that is the same for every step, such as a ceiling."""
    axes.axhline(value, color=color, linewidth=1.1, linestyle=style, zorder=1.8, label=drawable(label))


def alert_zones(axes: Axes, edges: Sequence[tuple[float, Side]], drawn: Collection[float]) -> None:
    """Shade from each edge to the end of the axis. Call last: it fixes the range.

    `drawn` are levels that have a line already.
    """
    low, high = axes.dataLim.intervaly
    low, high = min([low, *(edge for edge, _ in edges)]), max([high, *(edge for edge, _ in edges)])
    room = 0.08 * (high - low)
    for edge, side in edges:
        axes.axhspan(
            edge, high + room if side == "above" else low - room, color=_ALERT, alpha=0.1, linewidth=0, zorder=0.5,
            label="alert zone",
        )  # fmt: skip
        if edge not in drawn:
            axes.axhline(edge, color=_ALERT, linewidth=0.9, zorder=1.2)
    axes.set_ylim(low - room, high + room)


def phases(axes: Axes, run: Run) -> None:
    """Where each phase of a sequence ends, with the preference that it trained."""
    begun = 0
    for end, preference in run.phase_ends:
        axes.axvline(end, color=GRAY, linewidth=0.8, linestyle=(0, (1, 1)), zorder=1.1)
        axes.text(
            (begun + end) / 2, 0.02, drawable(preference), transform=axes.get_xaxis_transform(), ha="center",
            va="bottom", fontsize=7.5, color=GRAY, fontfamily=FONT, zorder=2.5,
        )  # fmt: skip
        begun = end


def not_run_yet(axes: Axes, run: Run) -> None:
    """Shade the steps that were asked for and are not recorded."""
    if run.asked <= run.last_x:
        return
    axes.axvspan(run.last_x, run.asked, color=_SHADE, linewidth=0, zorder=0)
    axes.text(
        (run.last_x + run.asked) / 2, 0.97, "not run yet", transform=axes.get_xaxis_transform(), ha="center",
        va="top", fontsize=8.5, color=GRAY, fontfamily=FONT, zorder=2.5,
        bbox={"facecolor": _SHADE, "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def _alone(points: Sequence[Point], has: Callable[[Point], bool]) -> list[Point]:
    """Points that have something while neither neighbor does."""
    flags = [False, *(has(point) for point in points), False]
    return [point for i, point in enumerate(points, 1) if flags[i] and not flags[i - 1] and not flags[i + 1]]


def _lower(point: Point) -> float:
    return point.interval.lower if point.interval is not None else math.nan


def _upper(point: Point) -> float:
    return point.interval.upper if point.interval is not None else math.nan

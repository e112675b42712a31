"""Dose and response: a criterion against a swept value. A dot is a seed, a diamond the mean over seeds.

The mean is filled, and has its Student t interval as a bar, from three seeds on; a hollow one is no claim.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from claas_assets.evaluation.comparison.sweeps import (
    CLAIM_SEEDS,
    PreferenceSweep,
    Recipe,
    SeedMean,
    SweepComparison,
    swept_values,
)
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.figures.sheet import FONT, GRAY, Heading, Look, Panel, drawable, drawn, look

LOG_FROM = 5.0
"""Where the largest swept value is so many times the smallest, the axis is logarithmic."""

UNITS = {"logprob_margin": "rise of the margin, nats", "fixed_text_drift": "nats a token"}


@dataclass(frozen=True)
class Axis:
    """Where swept values stand: numbers at their size, anything else side by side in the table's order."""

    key: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def logarithmic(self) -> bool:
        return self.numeric and min(self.values) > 0 and max(self.values) / min(self.values) >= LOG_FROM

    def at(self, value: Any) -> float:
        return float(value) if self.numeric else float(self.values.index(value))


def draw_dose_response(
    sweep: SweepComparison, criterion: str = "obeyed", key: str | None = None, *, kind: str = "png"
) -> bytes:
    """The picture as `png` or `svg`; the same sweep gives the same bytes. Raises `ConfigError` as below."""
    buffer = BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with rc_context({"svg.hashsalt": "claas_assets"}):
        dose_response_figure(sweep, criterion, key).savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def dose_response_figure(sweep: SweepComparison, criterion: str = "obeyed", key: str | None = None) -> Figure:
    """A panel a preference, a line for each combination of the other swept keys.

    `key` is the swept key on the x axis; None: the one with the most values. Raises `ConfigError` where
    nothing was swept, or `key` or `criterion` is not of this sweep.
    """
    axis = _axis(sweep, key)
    known = {name for preference in sweep.preferences for recipe in preference.recipes for name in recipe.criteria}
    if criterion not in known:
        raise ConfigError(
            f"--criterion {criterion}: no run of this sweep has it. Criteria there: {', '.join(sorted(known))}"
        )
    subtitle = (
        f"{criterion} after the last step against {axis.key}: dots are seeds, diamonds their mean, bars 95\u00a0% "
        f"Student t intervals; hollow: fewer than {CLAIM_SEEDS} seeds or no spread, no claim."
    )
    heading = Heading(f"What does {axis.key} do?", subtitle)
    return drawn(heading, sweep.preferences, lambda panel, preference: _panel(panel, preference, axis, criterion))


def _axis(sweep: SweepComparison, key: str | None) -> Axis:
    values = swept_values(sweep)
    if not values:
        raise ConfigError("--figure: nothing but the seed differs between these runs, so there is no dose to draw")
    if key is not None and key not in values:
        raise ConfigError(f"--x {key}: not swept here. Swept: {', '.join(values)}")
    name = key or max(values, key=lambda candidate: len(values[candidate]))
    return Axis(name, tuple(values[name]))


def _panel(panel: Panel, preference: PreferenceSweep, axis: Axis, criterion: str) -> tuple[()]:
    """Nothing is to be said below: what is left out is in the caption."""
    width = int(panel.width * 72 / (8.5 * 0.55))
    curves: dict[str, list[Recipe]] = {}
    for recipe in preference.recipes:
        others = ", ".join(f"{name}={value}" for name, value in recipe.settings.items() if name != axis.key)
        curves.setdefault(others, []).append(recipe)
    details = [textwrap.shorten(text, width, placeholder=" …") for text in _details(preference, criterion)]
    panel.caption(preference.preference, *details)
    if not any(recipe.criteria[criterion].seeds for recipe in preference.recipes if criterion in recipe.criteria):
        panel.say_instead(f"no run has a value of {criterion}")
        return ()
    for place, (label, recipes) in enumerate(curves.items()):
        _curve(panel.axes, recipes, axis, criterion, label, look(place))
    _dose_axis(panel.axes, axis)
    if panel.leftmost:
        panel.value_axis(f"{criterion} ({UNITS[criterion]})" if criterion in UNITS else criterion)
    return ()


def _details(preference: PreferenceSweep, criterion: str) -> tuple[str, str]:
    """How many seeds and how many runs without a value; and whether all recipes may be compared."""
    means = [recipe.criteria[criterion] for recipe in preference.recipes if criterion in recipe.criteria]
    counts = sorted({len(mean.seeds) for mean in means})
    seeds = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)
    lost = sum(len(mean.left_out) for mean in means)
    between = list(dict.fromkeys(obstacle.what for recipe in preference.recipes for obstacle in recipe.obstacles))
    return (
        f"n = {seeds} seed{'' if counts == [1] else 's'}{f', {lost} runs without a value' if lost else ''}",
        f"must not be compared: {'; '.join(between)}" if between else "",
    )


def _curve(axes: Axes, recipes: Sequence[Recipe], axis: Axis, criterion: str, label: str, style: Look) -> None:
    """Dots, bars and diamonds of one combination; recipes that differ in no swept key stand at one place."""
    places = [(axis.at(r.settings[axis.key]), r.criteria[criterion]) for r in recipes if criterion in r.criteria]
    dots = [(x, seed.value) for x, mean in places for seed in mean.seeds]
    axes.plot(
        [x for x, _ in dots], [y for _, y in dots], linestyle="", marker=style.marker, markersize=4, alpha=0.5,
        color=style.color, label="_nolegend_", zorder=3, clip_on=False,
    )  # fmt: skip
    means = [(x, mean) for x, mean in places if mean.mean is not None]
    axes.plot(
        [x for x, _ in means], [_level(mean) for _, mean in means], color=style.color, linestyle=style.style,
        linewidth=1.4, label=drawable(label or "mean over seeds"), zorder=2.5,
    )  # fmt: skip
    for x, mean in means:
        if mean.interval is not None:
            axes.vlines([x], [mean.interval.lower], [mean.interval.upper], color=style.color, linewidth=1.6, zorder=3.5)
        axes.plot(
            [x], [_level(mean)], linestyle="", marker="D", markersize=7, label="_nolegend_", zorder=4, clip_on=False,
            markeredgecolor=style.color, markerfacecolor="white" if mean.interval is None else style.color,
        )  # fmt: skip


def _level(mean: SeedMean) -> float:
    return mean.mean if mean.mean is not None else float("nan")


def _dose_axis(axes: Axes, axis: Axis) -> None:
    places = [axis.at(value) for value in axis.values]
    if axis.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    labels = [drawable(f"{value:g}" if axis.numeric else textwrap.shorten(str(value), 24)) for value in axis.values]
    axes.set_xticks(places, labels)
    axes.margins(x=0.12)
    axes.set_xlabel(drawable(axis.key), fontsize=9, color=GRAY, fontfamily=FONT)

"""learning_curves.png: compliance on the trained-on prompts, and on held-out ones where it decides."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import Measured, Note, Quantity, Run, State, of_units, reason_for, trace
from claas_assets.evaluation.figures.sheet import GRAY, Heading, Panel, drawn
from claas_assets.evaluation.metrics.statistics import noise_floor

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
    criterion = run.judged.criteria.get(run.judged.learning) if run.judged else None
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
    return drawn(HEADING, runs, _panel)


def _panel(panel: Panel, run: Run) -> list[Note]:
    trained, held_out = trace(run, TRAINED), trace(run, HELD_OUT)
    traces = {"trained-on": trained, "held-out": held_out}
    if marks.opened(panel, run, traces, captions.change_of(run, run.learning), "compliance (0–1)"):
        labels = "trained-on prompts", "held-out prompts (full snapshot)"
        marks.shares(panel.axes, (trained, labels[0]), (held_out, labels[1]))
        _levels(panel.axes, run)
    return [*trained.notes, *held_out.notes, *_unknown_levels(run)]


def _levels(axes: Axes, run: Run) -> None:
    top, floor = ceiling(run), noise_level(run)
    if top is not None:
        marks.level(axes, top, "ceiling: untrained, feedback in the prompt", color="#009E73", style="-")
    if floor is not None:
        marks.level(axes, floor, "noise floor above the baseline", color=GRAY, style="-")
    marks.bounds(axes, run.thresholds(run.learning))

"""learning_curves.png: how often it obeys on the trained prompts, and on held-out ones, where that decides."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claas_assets.evaluation.figures import captions, marks
from claas_assets.evaluation.figures.series import Note, Quantity, Run, of_units, reason_for, trace
from claas_assets.evaluation.figures.sheet import GRAY, Heading, Panel, drawn
from claas_assets.evaluation.metrics.statistics import noise_floor
from claas_assets.evaluation.metrics.units import obeyed_in
from claas_assets.evaluation.storage.records import EvalSnapshot, UnitStats

HEADING = Heading(
    "Does it do what the user asked?",
    "Share of prompts whose answer obeys, judged by program: it passes the verifier, and is no loop and not empty. "
    "The held-out prompts are never trained on; bars are 95\u00a0% Wilson intervals.",
)


def _decisive(snapshot: EvalSnapshot, name: str) -> UnitStats | None:
    """Obedience; of a state that version 0.1.0 scored, the compliance that decided then."""
    stats = snapshot.stats.compliance
    return obeyed_in(snapshot, name) or (stats.sets.get(name) if stats is not None else None)


TRAINED = Quantity(
    "obedience on trained prompts",
    lambda run, state: of_units(_decisive(state.snapshot, "probe_prompts"), state.snapshot.preference_compliance),
    ("preference_compliance", "compliance.probe_prompts"),
    every_state=True,
)
HELD_OUT = Quantity(
    "obedience on held-out prompts",
    lambda run, state: of_units(_decisive(state.snapshot, "heldout_prompts")),
    ("compliance.heldout_prompts", "preference_compliance.heldout_prompts"),
)


def ceiling(run: Run) -> float | None:
    """How often the untrained model obeys with the feedback in the prompt: could it obey at all?"""
    told = _decisive(run.baseline, "ceiling") if run.baseline else None
    return told.mean if told else None


def noise_level(run: Run) -> float | None:
    """Baseline + φ: a mean below this line may be the server's noise alone.

    φ is the verdict's where it has one, else that of the baseline's two passes for the same n.
    """
    stats = run.baseline.stats.compliance if run.baseline else None
    name = "heldout_prompts" if stats is not None and "heldout_prompts" in stats.sets else "probe_prompts"
    units = _decisive(run.baseline, name) if run.baseline else None
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
    return drawn(HEADING, [each for run in runs for each in run.each], _panel)


def _panel(panel: Panel, run: Run) -> list[Note]:
    trained, held_out = trace(run, TRAINED), trace(run, HELD_OUT)
    traces = {"trained": trained, "held-out": held_out}
    if marks.opened(panel, run, traces, captions.change_of(run, run.learning), "share that obeys (0–1)"):
        labels = "trained prompts", "held-out prompts (full snapshot)"
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

"""collapse.png: a dashboard of four signs of degeneration, all preferences in one panel each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claas_assets.evaluation.figures import marks
from claas_assets.evaluation.figures.marks import Side
from claas_assets.evaluation.figures.series import (
    Measured,
    Note,
    Quantity,
    Run,
    State,
    Trace,
    left_out,
    sizes_of,
    trace,
)
from claas_assets.evaluation.figures.sheet import GRAY, Heading, Panel, drawn, look
from claas_assets.evaluation.metrics.collapse_alerts import FURTHER_ALERTS, OCEAN_ALERTS
from claas_assets.evaluation.storage.records import CollapseScores, CollapseStats, UnitStats

HEADING = Heading(
    "Has it degenerated?",
    "Signs of collapse at the steps that measure it. The shaded zone raises an alert, whatever the verdict's bounds.",
)

ALL_PROMPTS = "all prompts (full snapshot)"


@dataclass(frozen=True)
class Gauge:
    """One panel. `alerts_on` is the field whose alerts (collapse_alerts.py) are shaded.

    `full` is the same quantity over all prompts of a full snapshot, where `line` is of one prompt.
    `mirrored`: the criterion's bounds hold in both directions.
    """

    title: str
    unit: str
    criterion: str
    line: Quantity
    alerts_on: str
    full: Quantity | None = None
    units: str = "prompts"
    mirrored: bool = False

    @property
    def alerts(self) -> tuple[tuple[float, Side], ...]:
        """The edges of the alert zones."""
        return tuple(
            (alert.bound, "below" if alert.below else "above")
            for alert in (*OCEAN_ALERTS, *FURTHER_ALERTS)
            if alert.field == self.alerts_on
        )


def _of_scores(read: Callable[[CollapseScores], float | None]) -> Callable[[Run, State], Measured]:
    """A field of the public harness: the ocean prompt."""

    def measured(run: Run, state: State) -> Measured:
        scores = state.snapshot.collapse
        return Measured(read(scores) if scores else None, n=1)

    return measured


def _of_stats(read: Callable[[CollapseStats, bool], Measured]) -> Callable[[Run, State], Measured]:
    """A quantity of `stats.collapse`; the flag says that the state is the baseline."""

    def measured(run: Run, state: State) -> Measured:
        stats = state.snapshot.stats.collapse
        return read(stats, state.x == 0) if stats else Measured(None)

    return measured


def _entropy_ratio(run: Run, state: State) -> Measured:
    """The baseline's own ratio is 1, where its entropy was measured."""
    scores = state.snapshot.collapse
    if scores is None:
        return Measured(None)
    if state.x == 0 and scores.entropy_ratio_to_baseline is None and scores.mean_entropy is not None:
        return Measured(1.0, n=1)
    return Measured(scores.entropy_ratio_to_baseline, n=1)


def _all_entropy(stats: CollapseStats, baseline: bool) -> Measured:
    units = stats.entropy
    if units is None or units.n < 2:
        return Measured(None)
    return Measured(1.0 if baseline and units.mean is not None else stats.entropy_ratio, n=units.n)


def _all_rouge(stats: CollapseStats, baseline: bool) -> Measured:
    units = stats.self_rouge_l
    return Measured(None) if units is None or units.n < 2 else Measured(units.mean, n=units.n)


def _rep4_rise(stats: CollapseStats, baseline: bool) -> Measured:
    """Absolute rep4 depends on the model; its rise is what the alert is about."""
    return _change(stats.rep4, stats.rep4_rise, baseline)


def _fixed_text_drift(stats: CollapseStats, baseline: bool) -> Measured:
    """Without the end-of-turn token, on which the criterion stands; with it where it is not known which that is."""
    if stats.fixed_text_words is None or stats.fixed_text_words.mean is None:
        return _change(stats.fixed_text, stats.fixed_text_drift, baseline)
    return _change(stats.fixed_text_words, stats.fixed_text_words_drift, baseline)


def _change(units: UnitStats | None, change: float | None, baseline: bool) -> Measured:
    """The baseline's own change is 0, where its units were measured."""
    if units is None:
        return Measured(change)
    value = 0.0 if baseline and units.mean is not None else change
    return Measured(value, n=units.n, left_out=left_out(units))


ENTROPY = Gauge(
    title="Token entropy",
    unit="ratio to the baseline",
    criterion="entropy_ratio",
    line=Quantity("entropy ratio", _entropy_ratio, ("collapse.mean_entropy", "collapse.entropy_ratio_to_baseline")),
    full=Quantity(
        "entropy ratio, all prompts", _of_stats(_all_entropy), ("collapse.entropy", "collapse.entropy_ratio")
    ),
    alerts_on="entropy_ratio_to_baseline",
)
SAMENESS = Gauge(
    title="Sameness of samples",
    unit="self-ROUGE-L (0–1)",
    criterion="self_rouge_l",
    line=Quantity("self-ROUGE-L", _of_scores(lambda scores: scores.self_rouge_l), ("collapse.self_rouge_l",)),
    full=Quantity("self-ROUGE-L, all prompts", _of_stats(_all_rouge), ("collapse.self_rouge_l",)),
    alerts_on="self_rouge_l",
)
LOOPS = Gauge(
    title="Loops",
    unit="rise of rep4 over the baseline",
    criterion="loops",
    line=Quantity("rise of rep4", _of_stats(_rep4_rise), ("collapse.rep4", "collapse.rep4_rise")),
    alerts_on="rep4_rise",
)
DRIFT = Gauge(
    title="Drift on fixed texts",
    unit="mean token logprob,\nnow − baseline (nats)",
    criterion="fixed_text_drift",
    line=Quantity(
        "fixed-text drift", _of_stats(_fixed_text_drift), ("collapse.fixed_text", "collapse.fixed_text_drift")
    ),
    alerts_on="drift",
    units="texts",
    mirrored=True,
)
GAUGES = (ENTROPY, SAMENESS, LOOPS, DRIFT)


def collapse_figure(runs: Sequence[Run]) -> Figure:
    return drawn(HEADING, GAUGES, lambda panel, gauge: _panel(panel, gauge, runs), columns=2, panel_height=2.7)


def _panel(panel: Panel, gauge: Gauge, runs: Sequence[Run]) -> list[Note]:
    axes = panel.axes
    lines = [trace(run, gauge.line) for run in runs]
    panel.feedback_axis(max(run.end for run in runs))
    panel.value_axis(gauge.unit)
    full = [trace(run, gauge.full) if gauge.full else Trace((), ()) for run in runs]
    notes = [note for one, other in zip(lines, full, strict=True) for note in _both(one, other)]
    if all(one.last is None for one in (*lines, *full)):
        panel.caption(gauge.title)
        panel.say_instead(notes[-1].text if notes else "not asked in this run")
        return notes
    panel.caption(gauge.title, _sizes(gauge, lines, full))
    for i, (run, one) in enumerate(zip(runs, lines, strict=True)):
        if one.last is not None:
            marks.line(axes, one.points, look(i), label=run.name)
    for i, other in enumerate(full):
        marks.hollow_diamonds(axes, other.points, color=look(i).color, label=ALL_PROMPTS)
    _levels(axes, gauge, runs)
    return notes


def _levels(axes: Axes, gauge: Gauge, runs: Sequence[Run]) -> None:
    signs = (1, -1) if gauge.mirrored else (1,)
    given = {bound for run in runs for bound in run.thresholds(gauge.criterion).items()}
    drawn = [(name, sign * value) for name, value in sorted(given, reverse=True) for sign in signs]
    for name, value in drawn:
        marks.bound(axes, name, value, f"{name} bound of the verdict")
    if gauge.mirrored or gauge.criterion == "loops":
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=1)
    marks.alert_zones(axes, gauge.alerts, {value for _, value in drawn})


def _both(one: Trace, full: Trace) -> list[Note]:
    """What is missing for one prompt is missing for all: said once."""
    said = {note.x for note in one.notes}
    return [*one.notes, *(note for note in full.notes if note.x not in said)]


def _sizes(gauge: Gauge, lines: Sequence[Trace], full: Sequence[Trace]) -> str:
    """The n of the lines, and of the diamonds."""
    line, all_prompts = (sizes_of([point for one in traces for point in one.points]) for traces in (lines, full))
    unit = gauge.units.removesuffix("s") if line == "1" else gauge.units
    return ", ".join(filter(None, (f"n = {line} {unit}" if line else "", f"{all_prompts} ◇" if all_prompts else "")))

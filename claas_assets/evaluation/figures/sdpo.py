"""sdpo.png: what the engine said of its own updates, one panel for each number that it reported."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from claas_assets.evaluation.figures import marks
from claas_assets.evaluation.figures.series import Note, Point, Run
from claas_assets.evaluation.figures.sheet import Heading, Panel, drawn, look
from claas_assets.evaluation.storage.records import ScoredStep

HEADING = Heading(
    "What did the engine report of its updates?",
    "sdpo_metrics of each feedback step, as the deployment answered them. Diagnostics: no verdict depends on them.",
)

KNOWN = {
    "total_loss": ("Loss", "nats per token"),
    "distill_loss": ("Distillation loss", "nats per token"),
    "mean_is_ratio": ("Importance ratio", "mean over tokens"),
    "clip_fraction": ("Clipped ratios", "share of tokens (0–1)"),
    "grad_norm": ("Gradient norm", "before clipping"),
    "kl_reg": ("Drift term", "k3, nats per token"),
    "kl_mean": ("KL", "mean (nats)"),
    "adv_mean": ("Advantage", "mean (nats)"),
    "adv_abs_mean": ("Size of the advantage", "mean of |advantage| (nats)"),
    "tokens_processed": ("Tokens processed", "tokens"),
    "completion_len": ("Completion length", "tokens"),
}
"""Order, title and unit of the numbers that engines are known to report. Others follow under their own names."""

BOOKKEEPING = frozenset({"batch_size", "steps_per_batch_applied", "step", "lr", "timestamp"})
"""Numbers that repeat the configuration or count calls: nothing to see in a curve."""

MAX_PANELS = 9
_FEW = 0.2  # share of the points that may be outside the axis
_FAR = 8.0  # times the largest of the others


def sdpo_figure(runs: Sequence[Run]) -> Figure:
    keys = reported(runs)
    notes = [note for run in runs for note in missing(run)]
    if not keys:
        return drawn(HEADING, [runs], _say_nothing, panel_height=1.8, notes=notes)
    heading = HEADING
    if len(keys) > MAX_PANELS:
        heading = Heading(HEADING.title, f"{HEADING.subtitle} Not drawn: {', '.join(keys[MAX_PANELS:])}.")
    shown = keys[:MAX_PANELS]
    return drawn(heading, shown, lambda panel, key: _panel(panel, key, runs), panel_height=2.4, notes=notes)


def reported(runs: Sequence[Run]) -> list[str]:
    """Every key with a number in it in some step, the known ones first; of two that are one line, one."""
    keys = {key for run in runs for step in run.steps for key, value in _numbers(step).items() if value is not None}
    if {"total_loss", "distill_loss"} <= keys and _one_line(runs, "total_loss", "distill_loss"):
        keys.remove("total_loss")  # without a drift term the loss is the distillation loss
    return [key for key in KNOWN if key in keys] + sorted(keys - set(KNOWN) - BOOKKEEPING)


def points_of(run: Run, key: str) -> list[Point]:
    """One point for each recorded step; NaN where the engine did not report this number."""
    values = [(step.step + 1, _numbers(step).get(key)) for step in run.steps]
    return [Point(x, math.nan if value is None else value) for x, value in values]


def _one_line(runs: Sequence[Run], one: str, other: str) -> bool:
    """Whether no eye could tell the two apart: they differ by less than a hundredth of their range."""
    pairs = [(_numbers(step).get(one), _numbers(step).get(other)) for run in runs for step in run.steps]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if len(known) < len(pairs) or not known:
        return False
    values = [value for pair in known for value in pair]
    return all(abs(a - b) <= 0.01 * max(max(values) - min(values), abs(max(values, key=abs))) for a, b in known)


def missing(run: Run) -> list[Note]:
    """Steps without any engine numbers or without all of them, and why as far as the record knows."""
    return [Note(run.name, step.step + 1, said) for step in run.steps if (said := _missing_of(step))]


def _missing_of(step: ScoredStep) -> str:
    if step.engine is None:
        why = "the feedback call was interrupted and its answer is not known" if step.interrupted else "not reported"
        return f"sdpo_metrics not measured: {why}"
    return "the feedback call was interrupted: these numbers may be of a part of the step" if step.interrupted else ""


def _numbers(step: ScoredStep) -> dict[str, float | None]:
    """The numeric entries; None for a number that is not finite. Texts, lists and flags are left out."""
    return {
        key: float(value) if math.isfinite(value) else None
        for key, value in (step.engine or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _panel(panel: Panel, key: str, runs: Sequence[Run]) -> list[Note]:
    title, unit = KNOWN.get(key, (key, "as reported"))
    panel.feedback_axis(max(run.end for run in runs))
    panel.caption(title)
    panel.value_axis(unit)
    notes: list[Note] = []
    for i, run in enumerate(runs):
        points = points_of(run, key)
        if not any(point.measured for point in points):
            continue
        marks.line(panel.axes, points, look(i), label=run.name)
        notes.extend(_gaps(run, key))
    return notes + _cut_to_the_rest(panel, key, runs)


def _cut_to_the_rest(panel: Panel, key: str, runs: Sequence[Run]) -> list[Note]:
    """Where one step would flatten all others, the axis is that of the others, and the step is said in words."""
    points = [(run, point) for run in runs for point in points_of(run, key) if point.measured]
    largest = _largest_usual([abs(point.value) for _, point in points])
    if largest is None:
        return []
    inside = [point.value for _, point in points if abs(point.value) <= largest]
    room = 0.1 * (max(inside) - min(inside) or largest)
    panel.axes.set_ylim(min(inside) - room, max(inside) + room)
    for line in panel.axes.lines:
        line.set_clip_on(True)  # marks are drawn over the frame elsewhere
    return [
        Note(run.name, point.x, f"{key} is {point.value:.3g}, outside the axis")
        for run, point in points
        if abs(point.value) > largest
    ]


def _largest_usual(sizes: Sequence[float]) -> float | None:
    """The size below which almost all lie, where a gap parts them from the few others; None where none does."""
    ordered = sorted(sizes)
    for few, (below, above) in enumerate(zip(ordered[-2::-1], ordered[:0:-1], strict=True), 1):
        if few > _FEW * len(ordered):
            return None
        if 0 < below * _FAR < above:
            return below
    return None


def _gaps(run: Run, key: str) -> list[Note]:
    """Steps that report other numbers, and not this one."""
    notes = []
    for step in run.steps:
        if step.engine is None or _numbers(step).get(key) is not None:
            continue
        given = f"reported as {step.engine[key]}" if key in step.engine else "not reported in this step"
        notes.append(Note(run.name, step.step + 1, f"{key} not measured: {given}"))
    return notes


def _say_nothing(panel: Panel, runs: Sequence[Run]) -> list[Note]:
    steps = sum(len(run.steps) for run in runs)
    panel.feedback_axis(max(run.end for run in runs))
    panel.say_instead(
        f"no engine numbers in any of {steps} recorded steps" if steps else "no feedback step is recorded yet"
    )
    return []

"""What a panel says in words: how far a run came, its n, its change. No matplotlib here."""

import math
from collections.abc import Mapping

from claas_assets.evaluation.figures.series import Run, Trace
from claas_assets.evaluation.storage.records import Interval


def number(value: float, *, signed: bool = False) -> str:
    """Three digits, with a real minus."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if 0.1 <= abs(value) < 1000 else 2
    text = f"{value:{'+' if signed else ''}.{min(digits, 2)}f}"
    return text.replace("-", "−")


def said(value: float, interval: Interval | None, unit: str = "", *, signed: bool = False) -> str:
    """A value with its interval: "+4.10 nats [+3.02, +5.18]"; the level where it is not 95 %."""
    text = f"{number(value, signed=signed)}{unit}"
    if interval is None:
        return text
    lower, upper = (number(edge, signed=signed) for edge in (interval.lower, interval.upper))
    level = "" if interval.level == 0.95 else f" ({interval.level:.0%})"
    return f"{text} [{lower}, {upper}]{level}"


def nothing(run: Run, trace: Trace) -> str:
    """What an empty panel says."""
    if trace.notes:
        return trace.notes[-1].text
    if not run.states:
        return "nothing is recorded yet: no baseline and no step"
    return "not asked in this run"


def standing(run: Run) -> str:
    """How far the run came, or the outcome."""
    if run.progress:
        return f"unfinished: {run.progress}"
    return f"verdict: {run.judged.outcome or run.judged.overall}" if run.judged is not None else "no verdict yet"


def counted(traces: Mapping[str, Trace]) -> str:
    """ "n = 10 trained, 20 held-out"; the keys are the units."""
    known = [f"{trace.sizes} {units}" for units, trace in traces.items() if trace.sizes]
    return f"n = {', '.join(known)}" if known else ""


def change_of(run: Run, criterion: str) -> str:
    """The change that the verdict was given for, with its interval, and what it is evidence of."""
    ruled = run.judged.criteria.get(criterion) if run.judged else None
    if ruled is None or ruled.change is None:
        return ""
    return f"change {said(ruled.change, ruled.interval, signed=True)}{evidence_of(run, criterion)}"


def evidence_of(run: Run, criterion: str) -> str:
    ruled = run.judged.criteria.get(criterion) if run.judged else None
    return f": {ruled.evidence.replace('_', ' ')}" if ruled is not None and ruled.evidence else ""

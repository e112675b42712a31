"""What each criterion of the verdict measures: the last step against the baseline, paired by unit, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from claas_assets.evaluation.metrics.statistics import ONE_SIDED, bonett_price, evidence, noise_floor, student_t
from claas_assets.evaluation.storage.records import EvalSnapshot, Evidence, Interval, UnitStats, Unmeasured

MAX_MISSING_SHARE = 0.2
"""Where more of a set's units than this have no answer, the rest does not speak for the set."""

WEAK_BASELINE = 0.3
"""A model that solves fewer of the items than this has too little to lose."""


@dataclass(frozen=True)
class States:
    """What a verdict compares. Both have been scored."""

    baseline: EvalSnapshot
    last: EvalSnapshot

    def explains(self, name: str) -> bool:
        return name in self.last.unmeasured or name in self.baseline.unmeasured

    def why_missing(self, *names: str) -> Unmeasured:
        """The recorded reason for any of `names` (keys of `EvalSnapshot.unmeasured`), the last step's first."""
        for snapshot, where in ((self.last, ""), (self.baseline, "in the baseline: ")):
            for name in names:
                if name in snapshot.unmeasured:
                    reason = snapshot.unmeasured[name]
                    return Unmeasured(kind=reason.kind, reason=f"{where}{reason.reason}")
        return Unmeasured(kind="failed", reason=f"the last snapshot is {self.last.snapshot} and did not measure it")


@dataclass(frozen=True)
class Finding:
    """What was measured for a criterion. `value` is what the bounds are for; `words` say it.

    `too_weak`: why a pass would mean nothing.
    """

    value: float
    words: str
    baseline: float | None = None
    change: float | None = None
    interval: Interval | None = None
    n: int | None = None
    floor: float | None = None
    evidence: Evidence | None = None
    too_weak: str | None = None


# --- what is measured ---------------------------------------------------------------------------


def compliance_set(states: States) -> str:
    """The set that the verdict stands on: held-out prompts where there are such."""
    stats = states.baseline.stats.compliance
    return "heldout_prompts" if stats is not None and "heldout_prompts" in stats.sets else "probe_prompts"


def compliance(states: States) -> Finding | Unmeasured:
    name = compliance_set(states)
    both = _both(states, f"compliance.{name}", lambda snapshot: _set(snapshot, name))
    if isinstance(both, Unmeasured):
        return both
    stats = states.baseline.stats.compliance
    floor = noise_floor(stats.noise if stats is not None else None, len(both.differences))
    interval = bonett_price(both.differences)
    units = "held out" if name == "heldout_prompts" else "trained prompts"
    floor_words = "unknown" if floor is None else f"{floor:.2f}"
    return Finding(
        value=both.now,
        baseline=both.then,
        change=both.change,
        interval=interval,
        n=len(both.differences),
        floor=floor,
        evidence=evidence(both.differences, bonett_price, floor or 0.0),
        words=f"compliance {both.then:.2f} → {both.now:.2f} "
        f"({both.change:+.2f}, {_range(interval)}n = {len(both.differences)} {units}, floor {floor_words})",
    )


def logprob_margin(states: States) -> Finding | Unmeasured:
    stats = states.last.stats.logprob
    if stats is None or stats.delta is None or stats.delta.mean is None:
        return states.why_missing("logprob_margin.margin_delta_from_baseline", "logprob_margin.margin")
    if (scarce := _scarce(stats.margins, stats.delta.n)) is not None:
        return scarce
    then = states.baseline.logprob_margin.margin if states.baseline.logprob_margin is not None else None
    changes = list(stats.delta.scores.values())
    interval = student_t(changes)
    now = states.last.logprob_margin.margin if states.last.logprob_margin is not None else None
    levels = f" {then:.1f} → {now:.1f} nats" if then is not None and now is not None else ""
    return Finding(
        value=stats.delta.mean,
        baseline=then,
        change=stats.delta.mean,
        interval=interval,
        n=len(changes),
        evidence=evidence(changes, student_t),
        words=f"logprob margin{levels} ({stats.delta.mean:+.1f} nats, {_range(interval, 1)}n = {len(changes)} pairs)",
    )


def capability_ratio(states: States) -> Finding | Unmeasured:
    then = states.baseline.general.general_score if states.baseline.general is not None else None
    now = states.last.general.general_score if states.last.general is not None else None
    if then is None or now is None:
        return states.why_missing("general.general_score", "general.coding_correct", "general.ifeval_pass_rate")
    if then <= 0:
        return Unmeasured(kind="unavailable", reason="the baseline passes none of the four probes: no ratio to it")
    return Finding(
        value=now / then,
        words=f"capability on the four probes {then:.2f} → {now:.2f} (ratio {now / then:.2f})",
    )


def capability_change(states: States) -> Finding | Unmeasured:
    if items_of(states.baseline) is None and not states.explains("general.items"):
        return Unmeasured(kind="unavailable", reason="the capability items were not asked in the baseline")
    both = _both(states, "general.items", items_of)
    if isinstance(both, Unmeasured):
        return both
    interval = bonett_price(both.differences, ONE_SIDED)
    if interval is None:
        return Unmeasured(kind="failed", reason=f"only {len(both.differences)} items were answered both times")
    weak = both.then < WEAK_BASELINE
    return Finding(
        value=both.change,
        baseline=both.then,
        change=both.change,
        interval=interval,
        n=len(both.differences),
        evidence=evidence(both.differences, bonett_price),
        words=f"capability {both.then:.2f} → {both.now:.2f} "
        f"({both.change:+.2f}, {_range(interval)}n = {len(both.differences)} items)",
        too_weak=f"a baseline of {both.then:.2f} is too weak to show a loss" if weak else None,
    )


def entropy_ratio(states: States) -> Finding | Unmeasured:
    stats, scores = states.last.stats.collapse, states.last.collapse
    ratio = stats.entropy_ratio if stats is not None else None
    if ratio is None and scores is not None:
        ratio = scores.entropy_ratio_to_baseline
    if ratio is None:
        return states.why_missing("collapse.entropy_ratio", "collapse.entropy_ratio_to_baseline")
    n = stats.entropy.n if stats is not None and stats.entropy is not None else None
    return Finding(value=ratio, n=n, words=f"token entropy {ratio:.2f} of the baseline's{_count(n, 'prompts')}")


def self_rouge_l(states: States) -> Finding | Unmeasured:
    now, then = (_collapse_units(state, "self_rouge_l") for state in (states.last, states.baseline))
    if now is None or now.mean is None:
        return states.why_missing("collapse.self_rouge_l")
    before = then.mean if then is not None else None
    shown = f"{before:.2f} → " if before is not None else ""
    return Finding(
        value=now.mean,
        baseline=before,
        n=now.n,
        words=f"likeness of samples (self-ROUGE-L) {shown}{now.mean:.2f}{_count(now.n, 'prompts')}",
    )


def loops(states: States) -> Finding | Unmeasured:
    both = _both(states, "collapse.rep4", lambda snapshot: _collapse_units(snapshot, "rep4"))
    if isinstance(both, Unmeasured):
        return both
    interval = bonett_price(both.differences)
    return Finding(
        value=both.change,
        baseline=both.then,
        change=both.change,
        interval=interval,
        n=len(both.differences),
        words=f"loops (rep4) {both.then:.2f} → {both.now:.2f} "
        f"({both.change:+.2f}, {_range(interval)}n = {len(both.differences)} prompts)",
    )


def fixed_text_drift(states: States) -> Finding | Unmeasured:
    both = _both(states, "collapse.fixed_text", lambda snapshot: _collapse_units(snapshot, "fixed_text"))
    if isinstance(both, Unmeasured):
        return both
    interval = student_t(both.differences)
    return Finding(
        value=abs(both.change),
        baseline=both.then,
        change=both.change,
        interval=interval,
        n=len(both.differences),
        words=f"fixed texts {both.change:+.2f} nats a token ({_range(interval)}n = {len(both.differences)} texts)",
    )


def over_application(states: States) -> Finding | Unmeasured:
    if _set(states.baseline, "over_application") is None and states.last.snapshot == "full":
        return Unmeasured(kind="unavailable", reason="the preference has no over_application prompts")
    both = _both(states, "compliance.over_application", _violations)
    if isinstance(both, Unmeasured):
        return both
    interval = bonett_price(both.differences)
    return Finding(
        value=both.now,
        baseline=both.then,
        change=both.change,
        interval=interval,
        n=len(both.differences),
        evidence=evidence([-difference for difference in both.differences], bonett_price),
        words=f"over-application {both.then:.2f} → {both.now:.2f} "
        f"({both.change:+.2f}, {_range(interval)}n = {len(both.differences)} prompts)",
    )


# --- pairing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Both:
    """Means over the units measured both times, and the differences now − then."""

    then: float
    now: float
    differences: list[float]

    @property
    def change(self) -> float:
        return self.now - self.then


def _both(states: States, name: str, units_of: Callable[[EvalSnapshot], UnitStats | None]) -> _Both | Unmeasured:
    then, now = units_of(states.baseline), units_of(states.last)
    if then is None or now is None or then.mean is None or now.mean is None:
        return states.why_missing(name, f"{name}_rise", f"{name}_drift")
    units = [unit for unit in now.scores if unit in then.scores]
    if not units:
        return Unmeasured(kind="failed", reason="the last step and the baseline have no unit in common")
    if (scarce := _scarce(now, len(units)) or _scarce(then, len(units))) is not None:
        return scarce
    before, after = [then.scores[unit] for unit in units], [now.scores[unit] for unit in units]
    return _Both(fmean(before), fmean(after), [b - a for a, b in zip(before, after, strict=True)])


def _scarce(stats: UnitStats, answered: int) -> Unmeasured | None:
    """Why the units that are there do not speak for the set, if so."""
    asked = stats.n + len(stats.missing)
    if asked - answered <= MAX_MISSING_SHARE * asked:
        return None
    example = f"; one of them: {next(iter(stats.missing.values()))}" if stats.missing else ""
    return Unmeasured(kind="failed", reason=f"only {answered} of {asked} units were measured both times{example}")


def _set(snapshot: EvalSnapshot, name: str) -> UnitStats | None:
    stats = snapshot.stats.compliance
    return stats.sets.get(name) if stats is not None else None


def _violations(snapshot: EvalSnapshot) -> UnitStats | None:
    """The over-application set with 1 for every violation."""
    units = _set(snapshot, "over_application")
    if units is None or units.mean is None:
        return units
    scores = {unit: float(not passed) for unit, passed in units.passed.items()}
    return units.model_copy(update={"scores": scores, "mean": fmean(scores.values())})


def items_of(snapshot: EvalSnapshot) -> UnitStats | None:
    stats = snapshot.stats.general
    return stats.items if stats is not None else None


def _collapse_units(snapshot: EvalSnapshot, name: str) -> UnitStats | None:
    stats = snapshot.stats.collapse
    units: UnitStats | None = getattr(stats, name) if stats is not None else None
    return units


# --- words --------------------------------------------------------------------------------------


def _range(interval: Interval | None, digits: int = 2) -> str:
    """ "95 % 0.47…0.89, " or nothing."""
    if interval is None:
        return ""
    return f"{interval.level:.0%}".replace("%", " %") + f" {interval.lower:.{digits}f}…{interval.upper:.{digits}f}, "


def _count(n: int | None, units: str) -> str:
    return f" (n = {n} {units})" if n else ""

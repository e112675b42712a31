"""What each criterion of the verdict measures: the last state against the baseline, paired by unit, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from claas_assets.evaluation.metrics.statistics import LEAST_CHANGE, bonett_price, evidence, noise_floor, student_t
from claas_assets.evaluation.metrics.units import MAX_MISSING_SHARE, fold, obeyed_in
from claas_assets.evaluation.storage.records import EvalSnapshot, Evidence, Interval, Record, UnitStats, Unmeasured

ERROR = 0.05
"""The one-sided error of a claim: divided by the number of looks, and for harm shared by the guards."""

LEAST_TO_LOSE = 0.3
"""Share of units that must be able to get worse. With less than this, the absence of a loss shows nothing."""

GUARDS = {
    "over_application": 1 / 3,
    "capability_change": 1 / 3,
    "degenerate_on_preference": 1 / 6,
    "degenerate_elsewhere": 1 / 6,
}
"""The criteria of harm, with their shares of the error of a claim of harm (Bonferroni).

There are three guards, and one of them has two parts. With a quarter for each of four, over-application on a
further fifth of forty prompts is seen in 72 to 82 % of models where the baseline violates some, with a third
in 84 % or more; loops that matter are far beyond either bound (docs/truth.md).
"""


@dataclass(frozen=True)
class BeforeAfter:
    """The two scored states that a verdict compares."""

    baseline: EvalSnapshot
    last: EvalSnapshot
    looks: int = 1
    """How many last steps of this adapter were judged, this one included."""

    @property
    def error(self) -> float:
        """One-sided error of one claim."""
        return ERROR / self.looks

    def why_missing(self, *names: str) -> Unmeasured:
        """The recorded reason for any of `names` (keys of `EvalSnapshot.unmeasured`), the last state's first."""
        for snapshot, where in ((self.last, ""), (self.baseline, "in the baseline: ")):
            for name in names:
                if name in snapshot.unmeasured:
                    reason = snapshot.unmeasured[name]
                    return Unmeasured(kind=reason.kind, reason=f"{where}{reason.reason}")
        return Unmeasured(kind="failed", reason=f"the last snapshot is {self.last.snapshot} and did not measure it")

    def explains(self, name: str) -> bool:
        """Whether one of the two states says why `name` is missing."""
        return name in self.last.unmeasured or name in self.baseline.unmeasured


@dataclass(frozen=True)
class Measurement:
    """What was measured for one criterion; the rule of the criterion makes a grade of it."""

    value: float
    """What the criterion's bounds are for, in its unit."""

    words: str
    """The measurement as half a sentence, with the bound that decided."""

    baseline: float | None = None
    change: float | None = None
    interval: Interval | None = None
    """Of the change, at the level that decides."""

    n: int | None = None
    missing: int | None = None
    floor: float | None = None
    evidence: Evidence | None = None
    bound: float | None = None
    harmed: bool = False
    """Whether harm is shown (guards)."""

    gained: int | None = None
    lost: int | None = None
    too_weak: str | None = None
    """Why a pass would mean nothing."""


# --- learning -----------------------------------------------------------------------------------


def deciding_set(states: BeforeAfter) -> str:
    """The prompts that the verdict stands on: the held-out ones where there are such."""
    held_out = states.baseline.compliance_set("heldout_prompts")
    return "heldout_prompts" if held_out is not None else "probe_prompts"


def obeyed(states: BeforeAfter) -> Measurement | Unmeasured:
    """The share of prompts whose answer obeys: the verifier passes, and the answer is no loop and not empty."""
    name = deciding_set(states)
    paired = _paired(states, f"compliance.{name}", lambda snapshot: obeyed_in(snapshot, name))
    if isinstance(paired, Unmeasured):
        return paired
    stats = states.baseline.stats.compliance
    floor = noise_floor(stats.noise if stats is not None else None, paired.n)
    interval = bonett_price(paired.differences, 1 - 2 * states.error)
    units = "held-out prompts" if name == "heldout_prompts" else "trained prompts"
    found = evidence(paired.change, interval, floor or 0.0, LEAST_CHANGE)
    bound = None if interval is None else interval.upper if found == "worse" else interval.lower
    sure = "" if bound is None else f", {'at most' if found == 'worse' else 'at least'} {bound:+.2f}"
    return Measurement(
        value=paired.now,
        baseline=paired.then,
        change=paired.change,
        interval=interval,
        n=paired.n,
        missing=paired.missing,
        floor=floor,
        evidence=found,
        bound=bound,
        gained=paired.risen,
        lost=paired.fallen,
        words=f"obeys on {round(paired.now * paired.n)} of {paired.n} {units}, {round(paired.then * paired.n)} before "
        f"({paired.change:+.2f}{sure}{_missing(paired.missing)})",
    )


# --- guards: harm after minus harm before, on the same units --------------------------------------


def over_application(states: BeforeAfter) -> Measurement | Unmeasured:
    """Prompts to which the preference does not apply, and whose answer follows it all the same."""
    if states.baseline.compliance_set("over_application") is None and states.last.snapshot == "full":
        return Unmeasured(kind="unavailable", reason="the preference has no over_application prompts")
    paired = _paired(states, "compliance.over_application", _violations)
    words = "over-application on {lost} more and {gained} fewer of {n} prompts"
    return _harm(states, "over_application", paired, words)


def capability_change(states: BeforeAfter) -> Measurement | Unmeasured:
    """Capability items that were solved and are not any more; items gained are counted against them."""
    if items_of(states.baseline) is None and not states.explains("general.items"):
        return Unmeasured(kind="unavailable", reason="the capability items were not asked in the baseline")
    paired = _paired(states, "general.items", lambda snapshot: _reversed(items_of(snapshot)))
    return _harm(states, "capability_change", paired, "capability: {lost} lost and {gained} gained of {n} items")


def degenerate_on_preference(states: BeforeAfter) -> Measurement | Unmeasured:
    """Loops and empty answers to the preference's own prompts, trained and held out."""
    paired = _paired(states, "degenerate.on_preference", lambda state: _units(state.stats.degenerate, "on_preference"))
    words = "loops on the preference's prompts: {lost} new and {gained} fewer of {n} answers"
    return _harm(states, "degenerate_on_preference", paired, words)


def degenerate_elsewhere(states: BeforeAfter) -> Measurement | Unmeasured:
    """Loops and empty answers to all other prompts."""
    paired = _paired(states, "degenerate.elsewhere", lambda state: _units(state.stats.degenerate, "elsewhere"))
    words = "loops elsewhere: {lost} new and {gained} fewer of {n} answers"
    return _harm(states, "degenerate_elsewhere", paired, words)


def _harm(states: BeforeAfter, guard: str, paired: Paired | Unmeasured, words: str) -> Measurement | Unmeasured:
    """A guard's change with the bound that decides.

    Harm is shown where the lower bound, at the guard's share of the error of one claim, is above 0.
    Otherwise the upper bound says how much harm is not excluded.
    """
    if isinstance(paired, Unmeasured):
        return paired
    upper = bonett_price(paired.differences, 1 - 2 * states.error)
    lower = bonett_price(paired.differences, 1 - 2 * states.error * GUARDS[guard])
    harmed = lower is not None and lower.lower > 0
    interval = lower if harmed else upper
    bound = None if interval is None else interval.lower if harmed else interval.upper
    said = words.format(lost=paired.risen, gained=paired.fallen, n=paired.n)
    sure = "too few for a bound" if bound is None else f"{'at least' if harmed else 'at most'} {bound:+.2f}"
    room = 1 - paired.then
    return Measurement(
        value=paired.change,
        baseline=paired.then,
        change=paired.change,
        interval=interval,
        n=paired.n,
        missing=paired.missing,
        evidence="worse" if harmed else "shown" if upper is not None and upper.upper < 0 else "within_noise",
        bound=bound,
        harmed=harmed,
        gained=paired.fallen,
        lost=paired.risen,
        words=f"{said} ({sure}{_missing(paired.missing)})",
        too_weak=f"only {room:.0%} of them could get worse, too few to show a loss"
        if room < LEAST_TO_LOSE and not harmed
        else None,
    )


# --- told, and extreme where they fail -----------------------------------------------------------


def logprob_margin(states: BeforeAfter) -> Measurement | Unmeasured:
    """Rise of the margin in nats. It never decides: a sum favors short answers, and talk can follow or not."""
    stats, before = states.last.stats.logprob, states.baseline.stats.logprob
    if stats is None or stats.delta is None or stats.delta.mean is None:
        return states.why_missing("logprob_margin.margin_delta_from_baseline", "logprob_margin.margin", "logprob.delta")
    if (scarce := _scarce(stats.margins, stats.delta.n)) is not None:
        return scarce
    changes = list(stats.delta.scores.values())
    interval = student_t(changes, 1 - 2 * states.error)
    then = states.baseline.logprob_margin.margin if states.baseline.logprob_margin is not None else None
    per_token = _mean_change(stats.per_token, before.per_token if before is not None else None)
    by_token = "" if per_token is None else f", {per_token:+.2f} a token"
    return Measurement(
        value=stats.delta.mean,
        baseline=then,
        change=stats.delta.mean,
        interval=interval,
        n=len(changes),
        missing=len(stats.delta.missing),
        evidence=evidence(stats.delta.mean, interval),
        words=f"logprob margin {stats.delta.mean:+.1f} nats{by_token} ({_range(interval)}n = {len(changes)} pairs"
        f"{_missing(len(stats.delta.missing))})",
    )


def capability_ratio(states: BeforeAfter) -> Measurement | Unmeasured:
    """The public harness's number: `general_score` over the baseline's. Four probes decide nothing."""
    then = states.baseline.general.general_score if states.baseline.general is not None else None
    now = states.last.general.general_score if states.last.general is not None else None
    if then is None or now is None:
        return states.why_missing("general.general_score", "general.coding_correct", "general.ifeval_pass_rate")
    if then <= 0:
        return Unmeasured(kind="unavailable", reason="the baseline passes none of the four probes: no ratio to it")
    return Measurement(
        value=now / then, words=f"the four public probes {then:.2f} → {now:.2f} (ratio {now / then:.2f})"
    )


def entropy_ratio(states: BeforeAfter) -> Measurement | Unmeasured:
    """Mean token entropy over the baseline's."""
    stats, scores = states.last.stats.collapse, states.last.collapse
    ratio = stats.entropy_ratio if stats is not None else None
    if ratio is None and scores is not None:
        ratio = scores.entropy_ratio_to_baseline
    if ratio is None:
        return states.why_missing("collapse.entropy_ratio", "collapse.entropy_ratio_to_baseline")
    units = stats.entropy if stats is not None else None
    words = f"token entropy {ratio:.2f} of the baseline's{_count(units)}"
    missing = len(units.missing) if units is not None else None
    return Measurement(value=ratio, n=units.n if units is not None else None, missing=missing, words=words)


def self_rouge_l(states: BeforeAfter) -> Measurement | Unmeasured:
    """How alike several samples of one prompt are."""
    now, then = (_units(state.stats.collapse, "self_rouge_l") for state in (states.last, states.baseline))
    if now is None or now.mean is None:
        return states.why_missing("collapse.self_rouge_l")
    before = then.mean if then is not None else None
    shown = f"{before:.2f} → " if before is not None else ""
    words = f"likeness of samples (self-ROUGE-L) {shown}{now.mean:.2f}{_count(now)}"
    return Measurement(value=now.mean, baseline=before, n=now.n, missing=len(now.missing), words=words)


def loops(states: BeforeAfter) -> Measurement | Unmeasured:
    """Rise of repeated 4-grams in the answers to neutral prompts."""
    paired = _paired(states, "collapse.rep4", lambda state: _units(state.stats.collapse, "rep4"))
    if isinstance(paired, Unmeasured):
        return paired
    return _of_change(paired, f"repeated 4-grams on neutral prompts {paired.then:.2f} → {paired.now:.2f}")


def fixed_text_drift(states: BeforeAfter) -> Measurement | Unmeasured:
    """Nats a token by which fixed texts became less likely; negative where they became more likely.

    Without the end-of-turn token: whether an answer may end there says nothing about the language. Where it was
    not recorded which tokens that is, the drift is not known.
    """
    name = "fixed_text_words"
    paired = _paired(states, f"collapse.{name}", lambda state: _units(state.stats.collapse, name))
    if isinstance(paired, Unmeasured):
        return paired
    words = f"fixed texts {paired.change:+.2f} nats a token"
    return _of_change(paired, words, value=-paired.change, interval=student_t(paired.differences, 0.90))


def _of_change(
    paired: Paired, words: str, *, value: float | None = None, interval: Interval | None = None
) -> Measurement:
    return Measurement(
        value=paired.change if value is None else value,
        baseline=paired.then,
        change=paired.change,
        interval=interval,
        n=paired.n,
        missing=paired.missing,
        words=f"{words} (n = {paired.n}{_missing(paired.missing)})",
    )


# --- pairing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paired:
    """The units measured in both states: their means, and the differences now − then."""

    then: float
    now: float
    differences: list[float]
    missing: int
    """Units asked in the last state without a score in both."""

    @property
    def change(self) -> float:
        return fmean(self.differences)

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def risen(self) -> int:
        return sum(difference > 1e-9 for difference in self.differences)

    @property
    def fallen(self) -> int:
        return sum(difference < -1e-9 for difference in self.differences)


def _paired(
    states: BeforeAfter, name: str, units_of: Callable[[EvalSnapshot], UnitStats | None]
) -> Paired | Unmeasured:
    then, now = units_of(states.baseline), units_of(states.last)
    if then is None or now is None or not then.scores or not now.scores:
        return states.why_missing(name, f"{name}_rise", f"{name}_drift")
    units = [unit for unit in now.scores if unit in then.scores]
    if not units:
        return Unmeasured(kind="failed", reason="the last state and the baseline have no unit in common")
    if (scarce := _scarce(now, len(units)) or _scarce(then, len(units))) is not None:
        return scarce
    families = {**then.families, **now.families}
    before, after = (fold({unit: state.scores[unit] for unit in units}, families) for state in (then, now))
    return Paired(
        then=fmean(before.values()),
        now=fmean(after.values()),
        differences=[after[unit] - before[unit] for unit in before],
        missing=len(now.scores) + len(now.missing) - len(units),
    )


def _scarce(stats: UnitStats, measured: int) -> Unmeasured | None:
    """Why the units that are there do not speak for the set, if so."""
    asked = len(stats.scores) + len(stats.missing)
    if asked - measured <= MAX_MISSING_SHARE * asked:
        return None
    example = f"; one of them: {next(iter(stats.missing.values()))}" if stats.missing else ""
    return Unmeasured(kind="failed", reason=f"only {measured} of {asked} units were measured both times{example}")


def _with_scores(units: UnitStats, scores: Mapping[str, float]) -> UnitStats:
    return units.model_copy(update={"scores": dict(scores), "mean": fmean(scores.values()) if scores else None})


def _violations(snapshot: EvalSnapshot) -> UnitStats | None:
    """The over-application set with 1 for every violation."""
    units = snapshot.compliance_set("over_application")
    return None if units is None else _with_scores(units, {u: float(not ok) for u, ok in units.passed.items()})


def _reversed(units: UnitStats | None) -> UnitStats | None:
    """Scores of ability as scores of harm."""
    return None if units is None else _with_scores(units, {u: 1 - score for u, score in units.scores.items()})


def _units(stats: Record | None, name: str) -> UnitStats | None:
    units: UnitStats | None = getattr(stats, name) if stats is not None else None
    return units


def items_of(snapshot: EvalSnapshot) -> UnitStats | None:
    """The capability items, scored loosely; None where they were not asked."""
    stats = snapshot.stats.general
    return stats.items if stats is not None else None


def _mean_change(now: UnitStats, then: UnitStats | None) -> float | None:
    common = [unit for unit in now.scores if then is not None and unit in then.scores]
    return fmean(now.scores[u] - then.scores[u] for u in common) if common and then is not None else None


# --- words --------------------------------------------------------------------------------------


def _range(interval: Interval | None) -> str:
    """ "90 % 0.5…0.9, " or nothing."""
    if interval is None:
        return ""
    return f"{interval.level:.0%}".replace("%", " %") + f" {interval.lower:.1f}…{interval.upper:.1f}, "


def _count(units: UnitStats | None) -> str:
    return f" (n = {units.n} prompts{_missing(len(units.missing))})" if units is not None and units.n else ""


def _missing(count: int) -> str:
    return f", {count} more without a score" if count else ""

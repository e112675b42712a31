"""The criteria of the verdict, one row each: what is measured, by which metric, what it is for, what is good.

To add one: a function in `measurements.py`, a row in `RULES`, a row in docs/metrics.md, and its bounds in
`config.Thresholds` where it has some.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.config import HIGH_IS_GOOD, Threshold, Thresholds
from claas_assets.evaluation.storage.records import Criterion, EvalSnapshot, Grade, Role, Unmeasured
from claas_assets.evaluation.verdict import measurements
from claas_assets.evaluation.verdict.measurements import BeforeAfter, Measurement

Grading = Callable[[Measurement, Thresholds], tuple[Grade, dict[str, float]]]
"""A measurement and the configured bounds → its grade, and the bounds that made it."""


@dataclass(frozen=True)
class CriterionRule:
    """A row of the verdict table. `metric` is the one that must have been asked for; None: any."""

    name: str
    metric: str | None
    role: Role
    measure: Callable[[BeforeAfter], Measurement | Unmeasured]
    grade: Grading


def is_told(name: str) -> bool:
    """Whether the criterion of that name never decides that a run passes: where it stands alone, that is said."""
    return any(rule.name == name and rule.role not in ("learning", "guard") for rule in RULES)


def apply_rules(states: BeforeAfter, thresholds: Thresholds, metrics: Sequence[str]) -> dict[str, Criterion]:
    """The criteria of the requested metrics, by name."""
    asked = [rule for rule in RULES if rule.metric is None or rule.metric in metrics]
    return {rule.name: apply_rule(rule, states, thresholds) for rule in asked}


def describe_baseline(baseline: EvalSnapshot, thresholds: Thresholds, metrics: Sequence[str]) -> dict[str, Criterion]:
    """Where nothing is trained: what each criterion's number is before training. Nothing is graded."""
    described = {}
    for name, criterion in apply_rules(BeforeAfter(baseline, baseline), thresholds, metrics).items():
        before = criterion.reason if criterion.value is None else "no feedback was given"
        described[name] = Criterion(
            value=None,
            baseline=criterion.baseline,
            n=criterion.n,
            threshold=criterion.threshold,
            grade="unavailable",
            decides=False,
            role=criterion.role,
            sentence=f"{before}{'' if criterion.n is None else f' (n = {criterion.n})'}",
            reason=before,
        )
    return described


def criterion_of(measured: Measurement, **judged: Any) -> Criterion:
    """What was measured, and how it was `judged`: the other fields of a criterion."""
    return Criterion(
        value=measured.value,
        baseline=measured.baseline,
        change=measured.change,
        interval=measured.interval,
        n=measured.n,
        missing=measured.missing,
        evidence=measured.evidence,
        gained=measured.gained,
        lost=measured.lost,
        **judged,
    )


def apply_rule(rule: CriterionRule, states: BeforeAfter, thresholds: Thresholds) -> Criterion:
    """One criterion. `learning` and `guard` decide, `extreme` only where it fails, `told` never."""
    measured = rule.measure(states)
    if isinstance(measured, Unmeasured):
        grade: Grade = "unavailable" if measured.kind == "unavailable" else "inconclusive"
        words = f"{rule.name}: {grade}, {measured.reason}"
        decides = rule.role in ("learning", "guard")
        return Criterion(
            value=None, grade=grade, reason=measured.reason, sentence=words, role=rule.role, decides=decides
        )
    grade, bounds = rule.grade(measured, thresholds)
    if measured.too_weak is not None and grade == "pass":
        grade = "marginal"
    return criterion_of(
        measured,
        floor=measured.floor,
        threshold=bounds,
        grade=grade,
        bound=measured.bound,
        role=rule.role,
        decides=rule.role in ("learning", "guard") or (rule.role == "extreme" and grade == "fail"),
        sentence=f"{measured.words}{f'; {measured.too_weak}' if measured.too_weak else ''}",
        reason=measured.too_weak,
    )


# --- grades -----------------------------------------------------------------------------------


def _by_bounds(name: str) -> Grading:
    """By the bounds of that name in `Thresholds`: pass at `pass_at` or better, fail where worse than `fail_at`."""
    sign = 1 if name in HIGH_IS_GOOD else -1

    def grade(measured: Measurement, thresholds: Thresholds) -> tuple[Grade, dict[str, float]]:
        bounds: Threshold = getattr(thresholds, name)
        return _between(sign * measured.value, sign * bounds.pass_at, sign * bounds.fail_at), bounds.model_dump()

    return grade


def _between(value: float, pass_at: float, fail_at: float) -> Grade:
    """Equal to a bound but for the rounding of a mean is at it: 16 of 20 scores of 1 are 0.8."""
    if value >= pass_at - 1e-9:
        return "pass"
    return "fail" if value < fail_at - 1e-9 else "marginal"


def _no_harm(measured: Measurement, thresholds: Thresholds) -> tuple[Grade, dict[str, float]]:
    """Non-inferiority: pass where a rise of `harm_margin` is excluded, fail where a rise is shown."""
    bounds = {"harm_margin": thresholds.harm_margin}
    if measured.harmed:
        return "fail", bounds
    excluded = measured.bound is not None and measured.bound < thresholds.harm_margin
    return ("pass" if excluded else "marginal"), bounds


RULES = (
    CriterionRule("obeyed", "compliance", "learning", measurements.obeyed, _by_bounds("obeyed")),
    CriterionRule("over_application", "compliance", "guard", measurements.over_application, _no_harm),
    CriterionRule("capability_change", "general", "guard", measurements.capability_change, _no_harm),
    CriterionRule("degenerate_on_preference", "compliance", "guard", measurements.degenerate_on_preference, _no_harm),
    CriterionRule("degenerate_elsewhere", None, "guard", measurements.degenerate_elsewhere, _no_harm),
    CriterionRule("entropy_ratio", "collapse", "extreme", measurements.entropy_ratio, _by_bounds("entropy_ratio")),
    CriterionRule("self_rouge_l", "collapse", "extreme", measurements.self_rouge_l, _by_bounds("self_rouge_l")),
    CriterionRule("loops", "collapse", "extreme", measurements.loops, _by_bounds("loops")),
    CriterionRule(
        "fixed_text_drift", "collapse", "extreme", measurements.fixed_text_drift, _by_bounds("fixed_text_drift")
    ),
    CriterionRule("logprob_margin", "logprob", "told", measurements.logprob_margin, _by_bounds("logprob_margin")),
    CriterionRule("capability_ratio", "general", "told", measurements.capability_ratio, _by_bounds("capability_ratio")),
)

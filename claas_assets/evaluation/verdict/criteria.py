"""The criteria of the verdict, one row each: what is measured, by which metric, and which way is good.

A criterion's name is that of its bounds in `config.Thresholds`. To add one: a bound there, a function in
`findings.py`, a row in `RULES`, a row in the docs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from claas_assets.evaluation.config import Threshold, Thresholds
from claas_assets.evaluation.storage.records import Criterion, Grade, Unmeasured
from claas_assets.evaluation.verdict import measurements as findings
from claas_assets.evaluation.verdict.measurements import Finding, States

Grading = Callable[[Finding, Threshold], Grade]


@dataclass(frozen=True)
class Rule:
    """A row of the verdict table. `metric` is the one that must have been asked for."""

    name: str
    metric: str
    measure: Callable[[States], Finding | Unmeasured]
    grade: Grading


def apply_rules(states: States, thresholds: Thresholds, metrics: Sequence[str]) -> dict[str, Criterion]:
    """The criteria of the requested metrics, by name."""
    found = {
        rule.name: _apply(rule, states, getattr(thresholds, rule.name)) for rule in RULES if rule.metric in metrics
    }
    if "capability_ratio" in found and findings.items_of(states.baseline) is not None:
        found["capability_ratio"] = found["capability_ratio"].model_copy(update={"decides": False})
    return found


def _apply(rule: Rule, states: States, bounds: Threshold) -> Criterion:
    threshold, found = bounds.model_dump(), rule.measure(states)
    if isinstance(found, Unmeasured):
        grade: Grade = "unavailable" if found.kind == "unavailable" else "inconclusive"
        words = f"{rule.name}: {grade}, {found.reason}"
        return Criterion(value=None, threshold=threshold, grade=grade, reason=found.reason, sentence=words)
    grade, reason = rule.grade(found, bounds), None
    if found.too_weak is not None and grade == "pass":
        grade, reason = "unavailable", found.too_weak
    said = f": {found.evidence.replace('_', ' ')}" if found.evidence is not None else ""
    return Criterion(
        value=found.value,
        baseline=found.baseline,
        change=found.change,
        interval=found.interval,
        n=found.n,
        floor=found.floor,
        threshold=threshold,
        grade=grade,
        evidence=found.evidence,
        sentence=f"{found.words}{said}{f' ({found.too_weak})' if found.too_weak else ''}",
        reason=reason,
    )


# --- grades -----------------------------------------------------------------------------------


def _higher(*, inclusive: bool = False) -> Grading:
    """Pass above `pass_at` (or at it, where inclusive), fail below `fail_at`."""

    def grade(found: Finding, bounds: Threshold) -> Grade:
        if found.value > bounds.pass_at or (inclusive and _same(found.value, bounds.pass_at)):
            return "pass"
        return "fail" if found.value < bounds.fail_at and not _same(found.value, bounds.fail_at) else "marginal"

    return grade


def _lower(*, inclusive: bool = False) -> Grading:
    """Pass below `pass_at` (or at it, where inclusive), fail above `fail_at`."""

    def grade(found: Finding, bounds: Threshold) -> Grade:
        if found.value < bounds.pass_at or (inclusive and _same(found.value, bounds.pass_at)):
            return "pass"
        return "fail" if found.value > bounds.fail_at and not _same(found.value, bounds.fail_at) else "marginal"

    return grade


def _same(a: float, b: float) -> bool:
    """Equal but for the rounding of a mean: 16 of 20 scores of 1 are 0.8."""
    return abs(a - b) < 1e-9


def _no_worse_than(found: Finding, bounds: Threshold) -> Grade:
    """Pass where the interval excludes a loss as large as `pass_at`; fail where it excludes 0 and the loss is large."""
    if found.interval is None:
        return "marginal"
    if found.interval.lower > bounds.pass_at:
        return "pass"
    return "fail" if found.interval.upper < 0 and found.value < bounds.fail_at else "marginal"


def _lower_or_as_before(found: Finding, bounds: Threshold) -> Grade:
    """As `_lower`, but a rate that the baseline had already is not the training's failure."""
    grade = _lower(inclusive=True)(found, bounds)
    raised = found.baseline is None or found.value > found.baseline
    return "marginal" if grade == "fail" and not raised else grade


RULES = (
    Rule("compliance", "compliance", findings.compliance, _higher(inclusive=True)),
    Rule("logprob_margin", "logprob", findings.logprob_margin, _higher()),
    Rule("capability_ratio", "general", findings.capability_ratio, _higher()),
    Rule("capability_change", "general", findings.capability_change, _no_worse_than),
    Rule("entropy_ratio", "collapse", findings.entropy_ratio, _higher()),
    Rule("self_rouge_l", "collapse", findings.self_rouge_l, _lower()),
    Rule("loops", "collapse", findings.loops, _lower()),
    Rule("fixed_text_drift", "collapse", findings.fixed_text_drift, _lower()),
    Rule("over_application", "compliance", findings.over_application, _lower_or_as_before),
)

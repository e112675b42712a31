"""The verdict: did it learn the preference, and is it still able?

The last step decides, against the baseline; steps before it describe. (Looking at every step of twenty
and taking the best finds "success" in half of the runs without effect.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.collapse_alerts import alerts_along
from claas_assets.evaluation.storage.records import (
    Criterion,
    EvalSnapshot,
    Overall,
    ScoredStep,
    ScoresRecord,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.caveats import notes_on
from claas_assets.evaluation.verdict.criteria import apply_rules
from claas_assets.evaluation.verdict.measurements import States


class Ruling(NamedTuple):
    """The overall verdict, and the half sentence that says why."""

    overall: Overall
    why: str


def judge(scores: ScoresRecord, thresholds: Thresholds) -> VerdictRecord:
    """The verdict on one preference, by today's thresholds.

    A metric that was not asked for has no criterion. With fewer steps than were asked for, the criteria are
    those of the last one recorded, and the overall verdict is `unfinished`.
    """
    baseline, steps = scores.baseline, scores.steps
    states = States(baseline, steps[-1].eval) if baseline is not None and steps else None
    criteria = apply_rules(states, thresholds, scores.metrics) if states is not None else {}
    ruling = _unfinished(baseline, steps, scores.num_steps) or overall_of(criteria, thresholds)
    last = steps[-1].eval if steps else None
    margin = last.logprob_margin if last is not None else None
    ratio = criteria.get("capability_ratio")
    return VerdictRecord(
        preference=scores.preference,
        lora_id=scores.lora_id,
        run_id=scores.run_id,
        logprob_margin_delta=margin.margin_delta_from_baseline if margin is not None else None,
        final_compliance=last.preference_compliance if last is not None else None,
        capability_ratio=ratio.value if ratio is not None else None,
        overall=ruling.overall,
        sentence=_paragraph(ruling, criteria, steps),
        criteria=criteria,
        alerts=alerts_along(baseline, steps),
        notes=notes_on(states, steps, criteria) if states is not None else [],
        steps_recorded=len(steps),
        num_steps=scores.num_steps,
        interrupted_steps=[step.step for step in steps if step.interrupted],
        versions=dict(last.versions if last is not None else baseline.versions if baseline is not None else {}),
    )


def _unfinished(baseline: EvalSnapshot | None, steps: Sequence[ScoredStep], num_steps: int) -> Ruling | None:
    if baseline is None:
        return Ruling("unfinished", "the baseline has not been measured; run again with the same output_dir to go on")
    if len(steps) < num_steps:
        return Ruling(
            "unfinished",
            f"{len(steps)} of {num_steps} steps are recorded; run again with the same output_dir to go on",
        )
    if not steps:
        return Ruling("inconclusive", "no feedback was given (num_steps is 0): this measures, and judges nothing")
    return None


def overall_of(criteria: Mapping[str, Criterion], thresholds: Thresholds) -> Ruling:
    """Any fail → fail; any inconclusive → inconclusive; any marginal → marginal; else it depends on compliance.

    A pass needs a compliance change that is `shown`, or a baseline that complied already ("no headroom").
    """
    deciding = {name: criterion for name, criterion in criteria.items() if criterion.decides}
    for grade, words in _BAD_GRADES.items():
        found = [name for name, criterion in deciding.items() if criterion.grade == grade]
        if found:
            return Ruling(grade, f"{words}: {', '.join(found)}")
    return _rule_on_learning(deciding.get("compliance"), thresholds)


_BAD_GRADES: dict[Literal["fail", "inconclusive", "marginal"], str] = {
    "fail": "out of bounds",
    "inconclusive": "could not be judged",
    "marginal": "between pass and fail",
}


def _rule_on_learning(compliance: Criterion | None, thresholds: Thresholds) -> Ruling:
    """For criteria that all pass."""
    if compliance is None:
        return Ruling("inconclusive", "compliance was not asked for, and nothing else shows that it learned")
    if compliance.value is None:
        return Ruling("inconclusive", f"compliance could not be compared with the baseline ({compliance.reason})")
    if compliance.evidence == "shown":
        return Ruling("pass", "it learned the preference, and no criterion shows a loss")
    if compliance.baseline is not None and compliance.baseline >= thresholds.compliance.pass_at:
        why = (
            "no headroom, the baseline already complied: it shows that nothing was lost, not that anything was learned"
        )
        return Ruling("pass", why)
    return Ruling("inconclusive", "every criterion passes, and the change in compliance is not beyond noise")


def _paragraph(ruling: Ruling, criteria: Mapping[str, Criterion], steps: Sequence[ScoredStep]) -> str:
    """The verdict as one reads it: the ruling, what was trained, compliance, then all that did not pass."""
    parts = [f"{ruling.overall}: {ruling.why}"]
    if steps:
        updates = sum(step.sub_step_count for step in steps)
        parts.append(f"After {len(steps)} feedback step{'s'[: len(steps) > 1]} ({updates} gradient updates)")
        told = [name for name, found in criteria.items() if name in _ALWAYS_TOLD or found.grade in _BAD_GRADES]
        parts[-1] += "".join(f"{'; ' if i else ', '}{criteria[name].sentence}" for i, name in enumerate(told))
    return ". ".join(parts) + "."


_ALWAYS_TOLD = ("compliance", "logprob_margin")

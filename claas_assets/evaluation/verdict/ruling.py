"""The verdict: did it learn the preference, and is it still able?

The last state decides, against the baseline; the states before it describe. (Looking at every step of twenty
and taking the best finds "success" in half of the runs without effect.)
"""

from collections.abc import Sequence

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.collapse_alerts import alerts_along
from claas_assets.evaluation.storage.records import Criterion, ScoredStep, ScoresRecord, VerdictRecord
from claas_assets.evaluation.verdict.caveats import notes_on
from claas_assets.evaluation.verdict.criteria import apply_rules, describe_baseline
from claas_assets.evaluation.verdict.judge import distrusted_judge
from claas_assets.evaluation.verdict.measurements import BeforeAfter
from claas_assets.evaluation.verdict.outcome import OVERALL, of_control, rule, sentence
from claas_assets.evaluation.verdict.progress import ceiling_of, unfinished
from claas_assets.evaluation.verdict.sequence_ruling import judge_sequence


def judge(scores: ScoresRecord, thresholds: Thresholds) -> VerdictRecord:
    """The verdict on one partition, by today's thresholds: a preference alone, or a sequence."""
    return _judge_alone(scores, thresholds) if scores.sequence is None else judge_sequence(scores, thresholds)


def _judge_alone(scores: ScoresRecord, thresholds: Thresholds) -> VerdictRecord:
    """The verdict on one preference.

    A metric that was not asked for has no criterion. With fewer steps than were asked for, the criteria are
    those of the last one recorded, and the outcome is `unfinished`.
    """
    baseline, steps = scores.baseline, scores.steps
    looks = looks_at(steps, scores.snapshot_steps)
    states = BeforeAfter(baseline, steps[-1].eval, looks) if baseline is not None and steps else None
    criteria: dict[str, Criterion] = {}
    if states is not None:
        criteria = apply_rules(states, thresholds, scores.metrics)
    elif baseline is not None and scores.num_steps == 0:
        criteria = describe_baseline(baseline, thresholds, scores.metrics)
    distrust = distrusted_judge(baseline)
    stopped = steps[-1].stopped if steps else None
    ruling = unfinished(baseline, steps, scores.num_steps)
    if ruling is None:
        ruling = rule(criteria, thresholds, ceiling_of(baseline), distrust)
        ruling = ruling if scores.control == "none" else of_control(scores.control)
    last = steps[-1].eval if steps else None
    margin = last.logprob_margin if last is not None else None
    ratio = criteria.get("capability_ratio")
    early = f", stopped after step {len(steps)} of {scores.num_steps}" if stopped is not None else ""
    said = sentence(ruling, criteria, looks, early) if steps else f"{ruling.outcome}: {ruling.why}."
    if stopped is not None:
        said += f" Why it was stopped: {stopped.reason}."
    return VerdictRecord(
        preference=scores.preference,
        lora_id=scores.lora_id,
        run_id=scores.run_id,
        logprob_margin_delta=margin.margin_delta_from_baseline if margin is not None else None,
        final_compliance=last.preference_compliance if last is not None else None,
        capability_ratio=ratio.value if ratio is not None else None,
        overall=OVERALL[ruling.outcome],
        outcome=ruling.outcome,
        sentence=f"{said} {_cost(steps)}" if scores.corrects_what_is_wrong and steps else said,
        criteria=criteria,
        alerts=alerts_along(baseline, steps),
        stopped=stopped,
        notes=[
            *([] if distrust is None else [distrust]),
            *scores.caveats,
            *(notes_on(states, steps, criteria) if states is not None else []),
        ],
        steps_recorded=len(steps),
        num_steps=scores.num_steps,
        interrupted_steps=[step.step for step in steps if step.interrupted],
        versions=dict(last.versions if last is not None else baseline.versions if baseline is not None else {}),
        looks=looks,
        control=scores.control,
        corrections=_corrections(steps),
    )


def _corrections(steps: Sequence[ScoredStep]) -> int | None:
    """Answers that feedback was given on; None where a step does not say it, or there is none."""
    given = [step.corrections for step in steps if step.corrections is not None]
    return sum(given) if given and len(given) == len(steps) else None


def _cost(steps: Sequence[ScoredStep]) -> str:
    """What it took, where only what was wrong was corrected."""
    without = sum(step.corrections == 0 for step in steps)
    nothing = f"; {without} of {len(steps)} steps had nothing to correct and trained nothing" if without else ""
    return f"It took {_corrections(steps)} corrections{nothing}."


def looks_at(steps: Sequence[ScoredStep], planned: Sequence[int]) -> int:
    """How many last steps were judged: full snapshots that the configuration did not plan, one at least.

    `num_steps` may grow after a verdict was seen. Whoever goes on until it pleases has as many chances to be
    wrong as looks (five looks: 8–13 % false `shown` where 5 % are meant).
    """
    unplanned = [step for step in steps if step.eval.snapshot == "full" and step.step not in planned]
    last_is_planned = bool(steps) and steps[-1].eval.snapshot == "full" and steps[-1].step in planned
    return max(1, len(unplanned) + last_is_planned)

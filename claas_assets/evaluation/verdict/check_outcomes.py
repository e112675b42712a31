"""What the asset checks ask of a run's records. No threshold is here: a criterion carries its own.

A check that could not be judged does not pass: it is a warning that says why. One whose metric nobody asked for has
nothing to judge, and passes saying so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from claas_assets.evaluation.storage.records import (
    BASELINE_STEP,
    CollapseRecord,
    Criterion,
    MetricTable,
    TrainingRecord,
    VerdictRecord,
)
from claas_assets.evaluation.verdict.outcome import grade_words, outcome_of


@dataclass(frozen=True)
class CheckOutcome:
    """`severe`: a check that does not pass is an error rather than a warning.

    `numbers` holds what was measured (None: was not, and then not shown); `lines` what to look at, one a line.
    """

    passed: bool
    said: str
    severe: bool = False
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    lines: Sequence[str] = ()


def steps_complete(training: TrainingRecord) -> CheckOutcome:
    """Every step that was asked for is recorded, and its feedback is known to have trained."""
    steps, asked = training.steps, training.num_steps
    interrupted = [str(step.step) for step in steps if step.interrupted]
    numbers = {"steps": len(steps), "steps_asked": asked, "interrupted_steps": len(interrupted)}
    stopped = steps[-1].stopped if steps else None
    said = f"{len(steps)} of {asked} steps recorded" + (f"; stopped: {stopped.reason}" if stopped else "")
    if not training.complete:
        return CheckOutcome(False, f"{said}: materialize training_steps again to go on", severe=True, numbers=numbers)
    if interrupted:
        said += f"; of step {', '.join(interrupted)} it is not known whether its feedback trained"
    return CheckOutcome(not interrupted, said, numbers=numbers)


def no_failed_probes(table: MetricTable) -> CheckOutcome:
    """Every probe that should have been answered was. Severe where the baseline or the last step lacks a number."""
    failed = [row for row in table.rows if str(row.get("reason") or "").startswith("failed")]
    partly = [
        row
        for row in table.rows
        if row.get("missing") and row not in failed and not (row["value"] is None and _is_unavailable(row))
    ]
    last = max((int(row["step"]) for row in table.rows), default=BASELINE_STEP)
    deciding = [row for row in failed if int(row["step"]) in (BASELINE_STEP, last)]
    numbers = {"failed_numbers": len(failed), "numbers_with_missing_answers": len(partly)}
    if not table.rows:
        return CheckOutcome(False, "the table is empty: nothing was measured", severe=True, numbers=numbers)
    if not failed and not partly:
        return CheckOutcome(True, "every probe was answered", numbers=numbers)
    said = f"{len(failed)} numbers are missing and {len(partly)} lack some answers"
    lines = [f"{_state(int(row['step']))}: {row['quantity']}: {row['reason']}" for row in failed] + [
        f"{_state(int(row['step']))}: {row['quantity']}: {row['missing']} without an answer" for row in partly
    ]
    return CheckOutcome(False, said, severe=bool(deciding), numbers=numbers, lines=lines)


def _is_unavailable(row: Mapping[str, Any]) -> bool:
    """No probe failed: this engine, or what was recorded, cannot give the number."""
    return str(row.get("reason") or "").startswith("unavailable")


def no_collapse_alert(record: CollapseRecord) -> CheckOutcome:
    """No collapse alert fired. Severe where the last state that was measured has one."""
    numbers: dict[str, float | None] = {"alerts": len(record.alerts), "states_measured": len(record.series)}
    if not record.series:  # a baseline measures it wherever it is asked for
        return CheckOutcome(True, "nothing to judge: the metric collapse was not asked for", numbers=numbers)
    last = record.series[-1]
    if last.stats is not None:
        numbers |= {"entropy_ratio": last.stats.entropy_ratio, "rep4_rise": last.stats.rep4_rise,
                    "fixed_text_drift_nats": last.stats.fixed_text_drift}  # fmt: skip
    if record.alerts:
        now = bool(last.stats and last.stats.alerts)
        said = f"COLLAPSE: {len(record.alerts)} alerts, {'also' if now else 'none'} in the last state measured"
        return CheckOutcome(False, said, severe=now, numbers=numbers, lines=record.alerts)
    if last.step == BASELINE_STEP:
        return CheckOutcome(False, "not judged: collapse was measured at the baseline alone", numbers=numbers)
    if last.scores is not None and last.scores.mean_entropy is None and _nothing(numbers):
        reasons = sorted({f"{name}: {why.reason}" for name, why in last.unmeasured.items()})
        return CheckOutcome(False, "not judged: nothing of collapse could be measured", numbers=numbers, lines=reasons)
    return CheckOutcome(True, f"no alert in {len(record.series)} states", numbers=numbers)


def capability_retained(verdict: VerdictRecord) -> CheckOutcome:
    """The capability items; in a verdict of version 0.1.0 without them, the ratio over four probes decided."""
    items, ratio = verdict.criteria.get("capability_change"), verdict.criteria.get("capability_ratio")
    fallback = ratio is not None and ratio.decides and (items is None or items.value is None)
    return _by_grade(verdict, ratio if fallback else items)


def no_over_application(verdict: VerdictRecord) -> CheckOutcome:
    return _by_grade(verdict, verdict.criteria.get("over_application"))


def preference_learned(verdict: VerdictRecord) -> CheckOutcome:
    """It obeys more often, beyond noise, and often enough. A model that obeyed already is not said to have learned."""
    criterion = verdict.criteria.get(verdict.learning)
    if criterion is None or criterion.value is None:
        return _not_judged(verdict, criterion)
    numbers, said = _numbers(criterion), f"{outcome_of(verdict)}: {criterion.sentence}"
    if criterion.evidence == "shown":
        return CheckOutcome(criterion.grade == "pass", said, severe=criterion.grade == "fail", numbers=numbers)
    if criterion.grade == "pass":
        return CheckOutcome(False, f"not judged: it obeyed already. {criterion.sentence}", numbers=numbers)
    return CheckOutcome(False, said, severe=criterion.grade == "fail" or criterion.evidence == "worse", numbers=numbers)


def baseline_has_headroom(verdict: VerdictRecord) -> CheckOutcome:
    """The untouched model does not obey already: else nothing can be shown to have been learned."""
    criterion = verdict.criteria.get(verdict.learning)
    if criterion is None or criterion.baseline is None:
        return _not_judged(verdict, criterion)
    bound, before = criterion.threshold["pass_at"], criterion.baseline
    if before < bound:
        return CheckOutcome(
            True, f"obeys at {before:.2f} before training, below {bound:g}", numbers=_numbers(criterion)
        )
    said = f"obeys at {before:.2f} before training, which passes ({bound:g}): nothing can be shown to be learned"
    return CheckOutcome(False, said, numbers=_numbers(criterion))


def _by_grade(verdict: VerdictRecord, criterion: Criterion | None) -> CheckOutcome:
    if criterion is None or criterion.grade in ("unavailable", "inconclusive"):
        return _not_judged(verdict, criterion)
    return CheckOutcome(
        criterion.grade == "pass",
        f"{grade_words(criterion)}: {criterion.sentence}",
        severe=criterion.grade == "fail",
        numbers=_numbers(criterion),
    )


def _not_judged(verdict: VerdictRecord, criterion: Criterion | None) -> CheckOutcome:
    if criterion is not None:
        return CheckOutcome(False, f"not judged: {criterion.reason or criterion.sentence}", numbers=_numbers(criterion))
    if verdict.criteria:
        return CheckOutcome(True, "nothing to judge: its metric was not asked for")
    return CheckOutcome(False, f"not judged: {verdict.sentence}")


def _numbers(criterion: Criterion) -> dict[str, float | None]:
    found = {"value": criterion.value, "baseline": criterion.baseline, "change": criterion.change,
             "bound": criterion.bound, "n": criterion.n, "missing": criterion.missing}  # fmt: skip
    return {**found, **criterion.threshold}


def _nothing(numbers: Mapping[str, float | None]) -> bool:
    return all(numbers.get(name) is None for name in ("entropy_ratio", "rep4_rise", "fixed_text_drift_nats"))


def _state(step: int) -> str:
    return "baseline" if step == BASELINE_STEP else f"step {step}"

"""The verdict on a sequence: was each preference learned in its phase, was it kept, and was nothing harmed?

Learning and keeping are judged preference by preference; harm once, at the end, against the untouched adapter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.metrics.collapse_alerts import alerts_along
from claas_assets.evaluation.storage.records import (
    Criterion,
    DegenerateStats,
    EvalSnapshot,
    Grade,
    ScoredStep,
    ScoresRecord,
    UnitStats,
    Unmeasured,
    VerdictRecord,
    fold,
)
from claas_assets.evaluation.verdict.caveats import notes_on
from claas_assets.evaluation.verdict.criteria import RULES, CriterionRule, apply_rule, criterion_of
from claas_assets.evaluation.verdict.judge import distrusted_judge
from claas_assets.evaluation.verdict.matrix import Matrix, retention
from claas_assets.evaluation.verdict.measurements import BeforeAfter, Measurement
from claas_assets.evaluation.verdict.outcome import (
    GUARDS_OF_HARM,
    OVERALL,
    SMALL_CHANGE,
    Ruling,
    of_control,
    open_guards,
    spoken,
)
from claas_assets.evaluation.verdict.progress import unfinished

LARGEST_LOSS = 0.15
"""Retention is shown where a larger loss than this is excluded."""

_OF_ONE = ("obeyed", "logprob_margin")
"""Criteria that are of one preference."""


def judge_sequence(scores: ScoresRecord, thresholds: Thresholds) -> VerdictRecord:
    """The verdict on one sequence. With fewer steps than its phases have, the outcome is `unfinished`."""
    baseline, steps, sequence = scores.baseline, scores.steps, scores.sequence
    assert sequence is not None  # `judge` brings none else
    matrix = Matrix.of(sequence, baseline, steps) if baseline is not None else None
    criteria = dict(_criteria(matrix, thresholds, scores.metrics)) if matrix is not None and steps else {}
    ruling = unfinished(baseline, steps, scores.num_steps)
    if ruling is None and matrix is not None:
        ruling = _rule(criteria, sequence.preferences, thresholds)
        ruling = ruling if scores.control == "none" else of_control(scores.control)
    assert ruling is not None
    distrust = [why for name in sequence.preferences if baseline and (why := distrusted_judge(baseline.of(name)))]
    if distrust and ruling.outcome in ("retained", "learned"):
        kept = ruling.outcome == "retained"
        ruling = Ruling("retained, harm not excluded" if kept else "learned, harm not excluded", distrust[0])
    ratio = criteria.get("capability_ratio")
    last = steps[-1].eval if steps else None
    return VerdictRecord(
        preference=scores.preference,
        lora_id=scores.lora_id,
        run_id=scores.run_id,
        logprob_margin_delta=_mean(_margin_delta(last, name) for name in sequence.preferences),
        final_compliance=_mean(last.of(name).preference_compliance if last else None for name in sequence.preferences),
        capability_ratio=ratio.value if ratio is not None else None,
        overall=OVERALL[ruling.outcome],
        outcome=ruling.outcome,
        sentence=_sentence(ruling, criteria) if steps else f"{ruling.outcome}: {ruling.why}.",
        criteria=criteria,
        alerts=alerts_along(baseline, steps),
        notes=[*distrust, *scores.caveats, *_notes(matrix, steps, criteria)],
        steps_recorded=len(steps),
        num_steps=scores.num_steps,
        interrupted_steps=[step.step for step in steps if step.interrupted],
        versions=dict(last.versions if last is not None else baseline.versions if baseline is not None else {}),
        control=scores.control,
        retention=retention(matrix) if matrix is not None else None,
    )


def _mean(values: Iterator[float | None]) -> float | None:
    """Over the preferences; None where one of them has none."""
    found = list(values)
    known = [value for value in found if value is not None]
    return fmean(known) if known and len(known) == len(found) else None


def _margin_delta(last: EvalSnapshot | None, name: str) -> float | None:
    margin = last.of(name).logprob_margin if last is not None else None
    return margin.margin_delta_from_baseline if margin is not None else None


def _notes(matrix: Matrix | None, steps: Sequence[ScoredStep], criteria: Mapping[str, Criterion]) -> list[str]:
    if matrix is None or not steps:
        return []
    return notes_on(BeforeAfter(matrix.rows[0].snapshot, steps[-1].eval), list(steps), dict(criteria))


# --- criteria -----------------------------------------------------------------------------------


def _criteria(matrix: Matrix, thresholds: Thresholds, metrics: Sequence[str]) -> Iterator[tuple[str, Criterion]]:
    if "compliance" in metrics:
        names = matrix.sequence.preferences
        learned = {name: _learned(matrix, name, thresholds) for name in names}
        yield from ((f"learned.{name}", criterion) for name, criterion in learned.items() if criterion is not None)
        for name in names:
            criterion = _retained(matrix, name, learned[name])
            if criterion is not None:
                yield f"retained.{name}", criterion
    states = BeforeAfter(_pooled(matrix, matrix.rows[0].snapshot), _pooled(matrix, matrix.steps[-1].eval))
    for rule in RULES:
        if rule.name not in _OF_ONE and (rule.metric is None or rule.metric in metrics):
            yield rule.name, apply_rule(rule, states, thresholds)


def _learned(matrix: Matrix, name: str, thresholds: Thresholds) -> Criterion | None:
    """As in a single evaluation, at the end of its first phase; None while that has not ended."""
    measured = matrix.learned(name)
    if measured is None:
        return None
    rule = next(rule for rule in RULES if rule.name == "obeyed")
    own = CriterionRule(f"learned.{name}", rule.metric, "learning", lambda states: measured, rule.grade)
    states = BeforeAfter(matrix.rows[0].snapshot, matrix.rows[-1].snapshot)
    criterion = apply_rule(own, states, thresholds)
    return criterion.model_copy(update={"sentence": f"{name} {criterion.sentence}"})


def _retained(matrix: Matrix, name: str, learned: Criterion | None) -> Criterion | None:
    """Whether what was learned is still there at the end; None where nothing was trained after it."""
    measured = matrix.retained(name)
    if measured is None:
        return None
    reversing = [other for other, opposed in matrix.sequence.opposes.items() if opposed == name]
    asked_away = [other for other in reversing if (_first_step(matrix, other) or 0) > (_first_step(matrix, name) or 0)]
    if isinstance(measured, Unmeasured):
        grade: Grade = "unavailable" if measured.kind == "unavailable" else "inconclusive"
        words = f"{name}: {measured.reason}"
        return Criterion(value=None, grade=grade, reason=measured.reason, sentence=words, decides=not asked_away)
    grade, reason = _grade(measured), None
    if learned is None or learned.evidence != "shown":
        grade, reason = "unavailable", "it was never learned, so there is nothing to forget"
    elif asked_away:
        reason = f"{asked_away[0]} asks for the opposite, and was trained after it: to lose it was asked for"
    return criterion_of(
        measured,
        threshold={"largest_loss": LARGEST_LOSS},
        grade=grade,
        decides=reason is None,
        sentence=f"{_kept(matrix, name, measured)}: {reason or _GRADES[grade]}{_when(matrix, name, grade)}",
        reason=reason,
        role="learning",
        bound=measured.interval.lower if measured.interval is not None else None,
    )


_GRADES: dict[Grade, str] = {
    "pass": "retained",
    "marginal": "undecided",
    "fail": "forgotten",
    "inconclusive": "not measured",
    "unavailable": "nothing to forget",
}


def _grade(measured: Measurement) -> Grade:
    interval = measured.interval
    if interval is not None and interval.lower > -LARGEST_LOSS:
        return "pass"
    lost = measured.change is not None and measured.change <= -LARGEST_LOSS + 1e-9
    return "fail" if interval is not None and interval.upper < 0 and lost else "marginal"


def _first_step(matrix: Matrix, name: str) -> int | None:
    return next((step.step for step in matrix.steps if step.preference == name), None)


def _kept(matrix: Matrix, name: str, measured: Measurement) -> str:
    """ "concise kept 0.95 of 0.96 after 8 more steps of no_emoji (-0.01, 90 % -0.12…0.10, n = 20)"."""
    end = matrix.rows[matrix.own_rows(name)[-1]].step
    later = [step.preference for step in matrix.steps if step.step > end]
    after = f"after {len(later)} more steps of {', '.join(dict.fromkeys(later))}"
    now, then, change, interval = measured.value, measured.baseline, measured.change, measured.interval
    assert then is not None  # two states were compared
    assert change is not None
    between = "" if interval is None else f", {100 * interval.level:.0f} % {interval.lower:.2f}…{interval.upper:.2f}"
    moved = f"kept {now:.2f} of {then:.2f}" if now > then - LARGEST_LOSS else f"fell from {then:.2f} to {now:.2f}"
    return f"{name} {moved} {after} ({change:+.2f}{between}, n = {measured.n})"


def _when(matrix: Matrix, name: str, grade: Grade) -> str:
    if grade != "fail":
        return ""
    own = matrix.own_rows(name)[-1]
    values = [matrix.cell(index, name).value for index in range(len(matrix.rows))]
    taught, later = values[own], range(own + 1, len(values))
    lost = [] if taught is None else [i for i in later if (v := values[i]) is not None and v <= taught - LARGEST_LOSS]
    half = retention(matrix).numbers[name].half_life
    where = f" in phase {matrix.rows[lost[0]].phase}" if lost else ""
    return f"{where}{f', half of it after {half} steps' if half is not None else ''}"


# --- harm, of all preferences together ----------------------------------------------------------


def _pooled(matrix: Matrix, snapshot: EvalSnapshot) -> EvalSnapshot:
    """One state with the units of all preferences. An over-application prompt counts for each that it is a prompt of,
    an answer that is a loop once."""
    states = {name: snapshot.of(name) for name in matrix.sequence.preferences}
    first = next(iter(states.values()))
    over = [
        (f"{name}: ", units)
        for name, state in states.items()
        if (units := state.compliance_set("over_application")) is not None
    ]
    loops = [state.stats.degenerate for state in states.values() if state.stats.degenerate is not None]
    stats = first.stats.model_copy(update={"general": snapshot.stats.general, "collapse": snapshot.stats.collapse})
    if stats.compliance is not None:
        sets = {"over_application": _together(over)} if over else {}
        stats = stats.model_copy(update={"compliance": stats.compliance.model_copy(update={"sets": sets})})
    if loops:
        merged = DegenerateStats(
            on_preference=_together([("", found.on_preference) for found in loops]),
            elsewhere=_together([("", found.elsewhere) for found in loops]),
        )
        stats = stats.model_copy(update={"degenerate": merged})
    return snapshot.model_copy(update={"stats": stats, "beside": {}})


def _together(parts: Sequence[tuple[str, UnitStats]]) -> UnitStats:
    """The units of several sets as one, each with what stands before its name. Those of one name are one unit."""
    scores: dict[str, float] = {}
    passed: dict[str, bool] = {}
    missing: dict[str, str] = {}
    families: dict[str, str] = {}
    for before, units in parts:
        scores |= {f"{before}{unit}": score for unit, score in units.scores.items()}
        passed |= {f"{before}{unit}": ok for unit, ok in units.passed.items()}
        missing |= {f"{before}{unit}": why for unit, why in units.missing.items()}
        families |= {f"{before}{unit}": f"{before}{of}" for unit, of in units.families.items()}
    folded = fold(scores, families)
    mean = fmean(folded.values()) if folded else None
    return UnitStats(n=len(folded), mean=mean, scores=scores, passed=passed, missing=missing, families=families)


# --- the ruling ---------------------------------------------------------------------------------


def _rule(criteria: Mapping[str, Criterion], names: Sequence[str], thresholds: Thresholds) -> Ruling:
    """The outcome of a sequence whose phases have all ended."""
    deciding = {name: criterion for name, criterion in criteria.items() if criterion.decides}
    harmful = [name for name, found in deciding.items() if found.role in GUARDS_OF_HARM and found.grade == "fail"]
    if harmful:
        return Ruling("harmful", f"harm is shown by {_listed(harmful)}")
    learned = {name: criteria[f"learned.{name}"] for name in names if f"learned.{name}" in criteria}
    if not learned:
        return Ruling("inconclusive", "compliance was not asked for, and nothing else shows what was learned")
    if len(learned) < len(names):
        return Ruling(
            "inconclusive",
            f"it stopped before a phase of {_listed(name for name in names if name not in learned)} had ended",
        )
    missing = [name for name, found in deciding.items() if found.grade == "inconclusive"]
    if missing:
        return Ruling("inconclusive", f"could not be measured: {_listed(missing)}")
    kept = {name: found for name, found in deciding.items() if name.startswith("retained.")}
    forgotten = [name.partition(".")[2] for name, found in kept.items() if found.grade == "fail"]
    if forgotten:
        return Ruling("forgotten", f"{_listed(forgotten)} {'was' if len(forgotten) == 1 else 'were'} lost again")
    return _rule_on_learning(criteria, learned, kept, thresholds)


def _rule_on_learning(
    criteria: Mapping[str, Criterion],
    learned: Mapping[str, Criterion],
    kept: Mapping[str, Criterion],
    thresholds: Thresholds,
) -> Ruling:
    shown = [name for name, found in learned.items() if found.evidence == "shown"]
    enough = thresholds.obeyed.pass_at - 1e-9
    already = [name for name, found in learned.items() if name not in shown and (found.baseline or 0) >= enough]
    if len(already) == len(learned):
        return Ruling("nothing to teach", "the untrained model obeyed every preference already")
    if not shown:
        excluded = all(c.interval is not None and c.interval.upper < SMALL_CHANGE for c in learned.values())
        why = f"a rise of {SMALL_CHANGE:.1f} is excluded for each" if excluded else "no rise is shown"
        return Ruling("not learned" if excluded else "inconclusive", why)
    short = [name for name in learned if name not in already and (name not in shown or learned[name].grade != "pass")]
    if short:
        return Ruling("partly learned", f"not learned well enough: {_listed(short)}")
    undecided = [name.partition(".")[2] for name, found in kept.items() if found.grade != "pass"]
    if undecided:
        return Ruling("learned, forgetting not excluded", f"not excluded: {_listed(undecided)}")
    harm = open_guards(criteria)
    if kept:
        return Ruling("retained, harm not excluded" if harm else "retained", "each was learned and kept")
    return Ruling("learned, harm not excluded" if harm else "learned", "each was learned, and nothing was to be kept")


def _sentence(ruling: Ruling, criteria: Mapping[str, Criterion]) -> str:
    told = [found.sentence for name, found in criteria.items() if name.startswith(("learned.", "retained."))]
    return spoken(ruling, "; ".join([ruling.why, *told]), criteria, 1)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") if "." not in name else name for name in names)

"""The conclusion of a verdict, and the words for it: every place that shows a verdict takes them from here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.storage.records import Criterion, Grade, Outcome, Overall, VerdictRecord
from claas_assets.evaluation.verdict.measurements import GUARDS

SMALL_CHANGE = 0.2
"""Where a larger change than this is excluded, nothing was learned that matters."""

STANDARD_SIZES = {"obeyed": 20, "over_application": 40, "capability_change": 150}
"""Units of a `standard` snapshot; with fewer, less harm can be excluded, and the sentence says so."""

OVERALL: dict[Outcome, Overall] = {
    "learned": "pass",
    "learned, harm not excluded": "marginal",
    "partly learned": "marginal",
    "not learned": "fail",
    "harmful": "fail",
    "nothing to teach": "inconclusive",
    "inconclusive": "inconclusive",
    "unfinished": "unfinished",
    "retained": "pass",
    "retained, harm not excluded": "marginal",
    "learned, forgetting not excluded": "marginal",
    "forgotten": "fail",
    "control": "inconclusive",
}
"""The word of the public field `overall` for each outcome."""

GUARDS_OF_HARM = ("guard", "extreme")
"""Roles of criteria that show harm where they fail."""

GUARD_GRADES: dict[Grade, str] = {
    "pass": "no harm",
    "marginal": "undecided",
    "fail": "harm shown",
    "inconclusive": "not measured",
    "unavailable": "not measured",
}
"""What a grade means for a guard."""


class Ruling(NamedTuple):
    """An outcome, and why in half a sentence."""

    outcome: Outcome
    why: str


def outcome_of(verdict: VerdictRecord) -> str:
    """The outcome in words; of a file of version 0.1.0, which has none, its overall verdict."""
    return verdict.outcome or verdict.overall


def overall_of(outcome: str) -> str:
    """The public word for an outcome, by which it is colored; a verdict of version 0.1.0 has no other."""
    return next((overall for known, overall in OVERALL.items() if known == outcome), outcome)


def grade_words(criterion: Criterion) -> str:
    """What the grade of one criterion says, in words: those of guards differ, and what does not decide is marked."""
    words = GUARD_GRADES[criterion.grade] if criterion.role == "guard" else criterion.grade
    return words if criterion.decides else f"{words} (does not decide)"


def rule(
    criteria: Mapping[str, Criterion], thresholds: Thresholds, ceiling: float | None, distrust: str | None = None
) -> Ruling:
    """The outcome of criteria that compare the last state with the baseline.

    `ceiling`: share of the held-out prompts that the untrained model obeys when it is told the feedback; None
    where that was not measured. `distrust`: why the judge among the verifiers is not to be believed, where that is so:
    then it cannot be said that no harm was done.
    """
    deciding = {name: criterion for name, criterion in criteria.items() if criterion.decides}
    harmful = [name for name, found in deciding.items() if found.role in GUARDS_OF_HARM and found.grade == "fail"]
    if harmful:
        return Ruling("harmful", f"harm is shown by {_listed(harmful)}")
    obeyed = criteria.get("obeyed")
    if obeyed is None:
        return Ruling("inconclusive", "compliance was not asked for, and nothing else shows that it learned")
    missing = [name for name, found in deciding.items() if found.grade == "inconclusive"]
    if missing:
        return Ruling("inconclusive", f"could not be measured: {_listed(missing)}")
    if obeyed.value is None or obeyed.baseline is None:
        return Ruling("inconclusive", f"obedience could not be compared with the baseline ({obeyed.reason})")
    ruling = _rule_on_learning(obeyed, obeyed.value, obeyed.baseline, open_guards(criteria), thresholds, ceiling)
    if distrust is not None and ruling.outcome == "learned":
        return Ruling("learned, harm not excluded", distrust)
    return ruling


def of_control(control: str) -> Ruling:
    """The outcome of a control run: what changed there is what any feedback, or none, would change."""
    gave = {"placebo": "feedback that says nothing of the preference", "shuffled": "the feedback of another preference"}
    return Ruling(
        "control", f"{control} run, with {gave.get(control, 'other feedback')}: its change is what to compare with"
    )


def _rule_on_learning(
    obeyed: Criterion,
    now: float,
    then: float,
    undecided: Sequence[str],
    thresholds: Thresholds,
    ceiling: float | None,
) -> Ruling:
    bounds = thresholds.obeyed
    if obeyed.evidence == "worse":
        return Ruling("not learned", "it obeys less often than before")
    if obeyed.evidence == "shown" and now >= bounds.pass_at - 1e-9:
        if undecided:
            return Ruling("learned, harm not excluded", f"not excluded: {_listed(undecided)}")
        return Ruling("learned", "no harm seen")
    if obeyed.evidence == "shown" and now >= bounds.fail_at - 1e-9:
        return Ruling("partly learned", f"fewer than {bounds.pass_at:.0%} obey")
    if then >= bounds.pass_at - 1e-9:
        if undecided:
            return Ruling("inconclusive", f"the untrained model obeyed already; not excluded: {_listed(undecided)}")
        return Ruling("nothing to teach", "the untrained model obeyed already")
    if ceiling is not None and ceiling <= then + 1e-9:
        return Ruling(
            "nothing to teach", f"told in the prompt, the untrained model obeys at {ceiling:.2f}, no more often"
        )
    if obeyed.interval is not None and obeyed.interval.upper < SMALL_CHANGE:
        return Ruling("not learned", f"a rise of {SMALL_CHANGE:.1f} is excluded")
    if obeyed.evidence == "shown":
        return Ruling(
            "inconclusive", f"it obeys more often than before, but on fewer than {bounds.fail_at:.0%} of the prompts"
        )
    return Ruling("inconclusive", "the change is not beyond what training on anything may do, and not small for sure")


def open_guards(criteria: Mapping[str, Criterion]) -> list[str]:
    """The guards that do not exclude harm, those that were not asked for among them."""
    return [name for name in GUARDS if name not in criteria or criteria[name].grade != "pass"]


def sentence(ruling: Ruling, criteria: Mapping[str, Criterion], looks: int, early: str = "") -> str:
    """The verdict as one reads it: conclusion, what was learned, harm guard by guard, what it cannot say.

    `early` follows the outcome's name: where a run ended before its last step.
    """
    return spoken(ruling, _first(ruling, criteria.get("obeyed")), criteria, looks, early)


def spoken(ruling: Ruling, first: str, criteria: Mapping[str, Criterion], looks: int, early: str = "") -> str:
    """The sentence with `first` as what was learned."""
    parts = [f"{ruling.outcome[0].upper()}{ruling.outcome[1:]}{early}: {first}"]
    parts += [_harm(criteria)] if any(name in criteria for name in GUARDS) else []
    parts += [_sizes(criteria)] if _small(criteria) else []
    parts += [_next(ruling, criteria)] if ruling.outcome in _ADVICE else []
    parts.append(f"One adapter, one seed{f', look {looks} of {looks}' if looks > 1 else ''}")
    return ". ".join(part for part in parts if part) + "."


def _first(ruling: Ruling, obeyed: Criterion | None) -> str:
    learned = obeyed.sentence if obeyed is not None and obeyed.value is not None else ""
    told = ruling.outcome not in ("learned", "learned, harm not excluded", "partly learned")
    return "; ".join(part for part in (ruling.why if told or not learned else "", learned) if part)


def _harm(criteria: Mapping[str, Criterion]) -> str:
    by_grade: dict[str, list[str]] = {"fail": [], "marginal": [], "pass": [], "inconclusive": []}
    for criterion in criteria.values():
        if criterion.role == "guard" or (criterion.role == "extreme" and criterion.grade == "fail"):
            grade = "inconclusive" if criterion.grade == "unavailable" else criterion.grade
            by_grade[grade].append(criterion.sentence)
    heads = {"fail": "Harm shown: ", "marginal": "Harm not excluded: ", "pass": "No harm seen: "}
    said = [f"{head}{'; '.join(by_grade[grade])}" for grade, head in heads.items() if by_grade[grade]]
    if by_grade["inconclusive"]:
        said.append(f"Not measured: {'; '.join(by_grade['inconclusive'])}")
    absent = [name for name in GUARDS if name not in criteria]
    if absent:
        said.append(f"Not asked for: {_listed(absent)}")
    return ". ".join(said)


def _small(criteria: Mapping[str, Criterion]) -> list[str]:
    return [
        f"{name} {criteria[name].n} of {size}"
        for name, size in STANDARD_SIZES.items()
        if name in criteria and (criteria[name].n or size) < 0.9 * size
    ]


def _sizes(criteria: Mapping[str, Criterion]) -> str:
    return f"Fewer units than a standard snapshot, so small harm is not excluded: {', '.join(_small(criteria))}"


_ADVICE: dict[str, str] = {
    "forgotten": "Fewer steps or a lower learning rate in the later phases, kl_reg_weight, or schedule: interleaved "
    "may keep more",
    "learned, forgetting not excluded": "More held-out prompts or more seeds would decide",
    "harmful": "Do not use this adapter; lower the learning rate or the number of steps, or raise kl_reg_weight",
    "learned, harm not excluded": "More prompts or more seeds would decide",
    "partly learned": "More feedback steps may help, or harm: a longer run would tell",
    "not learned": "Look whether the ceiling is higher than the baseline, then at the learning rate and the steps",
}


def _next(ruling: Ruling, criteria: Mapping[str, Criterion]) -> str:
    if ruling.outcome == "learned, harm not excluded" and not open_guards(criteria):
        return f"{ruling.why[0].upper()}{ruling.why[1:]}"  # nothing but the judge stands against it
    if ruling.outcome == "learned, harm not excluded" and _small(criteria):
        return "Evaluate with snapshot_size=standard to decide"
    if ruling.outcome == "learned, harm not excluded":
        weak = [name for name in open_guards(criteria) if name in criteria and criteria[name].reason]
        if weak:
            return f"A model that can do more would decide: {_listed(weak)}"
    return _ADVICE[ruling.outcome]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)

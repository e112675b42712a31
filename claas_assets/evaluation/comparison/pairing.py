"""Two runs of one preference: the difference of each criterion, and the prompts that flipped.

The difference is the verdict's arithmetic with the first run's last state in the place of the baseline:
paired by unit, the same intervals, the same rule for evidence.
"""

from collections.abc import Mapping, Sequence

from claas_assets.evaluation.comparison.comparability import Obstacle, blocking, obstacles
from claas_assets.evaluation.metrics.statistics import noise_floor
from claas_assets.evaluation.metrics.units import Units, changes
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.records import EvalSnapshot, Evidence, Interval, NoiseFloor, Record, Unmeasured
from claas_assets.evaluation.verdict.criteria import RULES, CriterionRule
from claas_assets.evaluation.verdict.measurements import BeforeAfter, Measurement, deciding_set

PAIRED = (
    "obeyed", "over_application", "capability_change", "degenerate_on_preference", "degenerate_elsewhere",
    "loops", "fixed_text_drift", "logprob_margin",
)  # fmt: skip
"""Criteria with one score a unit in either run. The others are ratios to each run's own baseline."""


class PairedDifference(Record):
    """`change` = the run minus the reference, over the units that both measured, in the criterion's unit.

    `change` is None where no difference is claimed; `reason` says why. `evidence`: for the run against
    the reference ("worse": the reference is better).
    """

    change: float | None
    interval: Interval | None = None
    n: int | None = None
    floor: float | None = None
    evidence: Evidence | None = None
    sentence: str = ""
    reason: str | None = None


class Answer(Record):
    """`text` is None where it is not recorded."""

    passed: bool
    text: str | None


class Flip(Record):
    """A prompt that passes in one run and not in the other."""

    prompt: str
    reference: Answer
    run: Answer


class Pair(Record):
    """Run `run` against run `reference` (indices into `Comparison.runs`).

    `flips`: prompts of `flips_of` (held-out ones where there are such) asked in both last states;
    None where passing does not mean the same in both, and `no_flips_because` says why.
    """

    reference: int
    run: int
    obstacles: list[Obstacle]
    differences: dict[str, PairedDifference]
    flips_of: str = "heldout_prompts"
    prompts_in_common: int = 0
    flips: list[Flip] | None = None
    no_flips_because: str | None = None

    @property
    def units(self) -> str:
        """`flips_of` in words."""
        return {"heldout_prompts": "held-out prompts", "probe_prompts": "trained prompts"}[self.flips_of]


def pair_runs(reference: tuple[int, PreferenceRun], run: tuple[int, PreferenceRun]) -> Pair:
    """Each run with its index. Both are of one preference."""
    (first, one), (index, other) = reference, run
    between = obstacles(one, other)
    shown = {name for name in PAIRED if name in one.verdict.criteria or name in other.verdict.criteria}
    differences = {rule.name: _difference(rule, one, other, between) for rule in RULES if rule.name in shown}
    pair = Pair(reference=first, run=index, obstacles=between, differences=differences)
    return pair.model_copy(update=_flips(one, other, between))


def _difference(
    rule: CriterionRule, one: PreferenceRun, other: PreferenceRun, between: Sequence[Obstacle]
) -> PairedDifference:
    in_the_way = "; ".join(obstacle.sentence for obstacle in blocking(between, rule.name))
    reason = in_the_way or _not_measured(rule, one, "the first") or _not_measured(rule, other, "the other")
    if reason:
        return PairedDifference(change=None, reason=reason)
    measured = rule.measure(_states(one, other))
    if isinstance(measured, Unmeasured):
        return PairedDifference(change=None, reason=measured.reason)
    return _as_difference(measured)


def _as_difference(measured: Measurement) -> PairedDifference:
    told = f": {measured.evidence.replace('_', ' ')}" if measured.evidence is not None else ""
    return PairedDifference(
        change=measured.change,
        interval=measured.interval,
        n=measured.n,
        floor=measured.floor,
        evidence=measured.evidence,
        sentence=f"{measured.words}{told}",
    )


def _not_measured(rule: CriterionRule, run: PreferenceRun, which: str) -> str | None:
    """Why this run has nothing to pair, or None where it has."""
    criterion = run.verdict.criteria.get(rule.name)
    if run.baseline is None or not run.steps:
        return f"{which} of the two runs has no feedback step"
    if run.steps[-1].eval.snapshot != "full":
        return f"{which} of the two runs ends in a light snapshot, after step {run.steps[-1].step}: it did not finish"
    if criterion is None:
        return f"{which} of the two runs did not measure it"
    if criterion.value is None:
        return f"{which} of the two runs: {criterion.reason}"
    again = rule.measure(BeforeAfter(run.baseline, run.steps[-1].eval))
    if isinstance(again, Unmeasured) or abs(again.value - criterion.value) > 1e-9:
        return (
            f"{which} of the two runs was scored afresh after its steps were recorded, with another result: its "
            "recorded scores are not those of its verdict"
        )
    return None


def _states(one: PreferenceRun, other: PreferenceRun) -> BeforeAfter:
    """The first run's last state as the baseline of the other's."""
    then, now = one.steps[-1].eval, other.steps[-1].eval
    then = _with(then, "compliance", noise=_noise(one, other)) if then.stats.compliance is not None else then
    before, after = then.stats.logprob, now.stats.logprob
    if before is not None and after is not None:
        delta = Units(scores=changes(after.margins.scores, before.margins.scores)).amount()
        now = _with(now, "logprob", delta=delta)
    return BeforeAfter(then, now)


def _with(snapshot: EvalSnapshot, metric: str, **changed: object) -> EvalSnapshot:
    stats = getattr(snapshot.stats, metric).model_copy(update=changed)
    return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={metric: stats})})


def _noise(one: PreferenceRun, other: PreferenceRun) -> NoiseFloor | None:
    """The noisier of the two deployments; unknown where either is."""
    first, second = _noise_of(one), _noise_of(other)
    if first is None or second is None:
        return None
    return max(first, second, key=lambda noise: noise_floor(noise, noise.n) or 0.0)


def _noise_of(run: PreferenceRun) -> NoiseFloor | None:
    stats = run.baseline.stats.compliance if run.baseline is not None else None
    return stats.noise if stats is not None else None


# --- flips ----------------------------------------------------------------------------------------


def _flips(one: PreferenceRun, other: PreferenceRun, between: Sequence[Obstacle]) -> Mapping[str, object]:
    """Fields of `Pair`. Prompts asked in one run only do not stop those asked in both from being compared."""
    stopping = [o for o in blocking(between, "obeyed") if o.what != "the preference's heldout_prompts differ"]
    first, second = one.last, other.last
    if stopping or first is None or second is None:
        because = "; ".join(obstacle.sentence for obstacle in stopping) or "one of the runs has no state yet"
        return {"no_flips_because": because}
    name = deciding_set(BeforeAfter(one.baseline or first, second))
    passed = _passed(first, name), _passed(second, name)
    common = [prompt for prompt in passed[0] if prompt in passed[1]]
    if not common:
        return {"flips_of": name, "no_flips_because": "no prompt was answered in the last state of both runs"}
    answers = _answers(first, name), _answers(second, name)
    flips = [
        Flip(
            prompt=prompt,
            reference=Answer(passed=passed[0][prompt], text=answers[0].get(prompt)),
            run=Answer(passed=passed[1][prompt], text=answers[1].get(prompt)),
        )
        for prompt in common
        if passed[0][prompt] != passed[1][prompt]
    ]
    return {"flips_of": name, "prompts_in_common": len(common), "flips": flips}


def _passed(snapshot: EvalSnapshot, name: str) -> dict[str, bool]:
    """Whether each prompt's answer obeys; in files of 0.1.0, whether its verifier passes."""
    units = snapshot.compliance_set(name)
    return (units.obeyed or units.passed) if units is not None else {}


def _answers(snapshot: EvalSnapshot, name: str) -> dict[str, str | None]:
    return {t.question: t.answer for t in snapshot.rollouts if t.key.startswith(f"compliance/{name}/")}

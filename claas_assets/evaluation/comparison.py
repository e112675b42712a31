"""Runs side by side: criteria, what differs in their configuration, and what changed prompt by prompt.

The difference between two runs is the verdict's arithmetic with the first run's last state in the place
of the baseline: paired by unit, the same intervals, the same rule for evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from claas_assets.evaluation import findings
from claas_assets.evaluation.comparability import (
    ConfigDifference,
    Obstacle,
    blocking,
    configuration_differences,
    obstacles,
)
from claas_assets.evaluation.criteria import RULES, Rule
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.findings import Finding, States
from claas_assets.evaluation.loading import PreferenceRun
from claas_assets.evaluation.metrics.units import Units, changes
from claas_assets.evaluation.records import Criterion, EvalSnapshot, Evidence, Interval, Overall, Record, Unmeasured
from claas_assets.evaluation.statistics import noise_floor

if TYPE_CHECKING:
    from claas_assets.evaluation.frames import LoadedRun

PAIRED = ("compliance", "logprob_margin", "capability_change", "loops", "fixed_text_drift", "over_application")
"""Criteria with one score a unit in either run. The others are ratios to each run's own baseline."""


class ComparedRun(Record):
    """A column. `seed` and `base_model` are of its first preference: `configuration` says where they differ."""

    run_id: str
    folder: str
    created: str
    seed: int | None
    base_model: str | None
    sweep_id: str | None


class CriterionRow(Record):
    """One criterion. `cells` in the order of the runs; None where a run does not have it."""

    criterion: str
    cells: list[Criterion | None]


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


class PreferenceComparison(Record):
    """Lists are in the order of the runs; None where a run does not have the preference."""

    preference: str
    overall: list[Overall | None]
    sentences: list[str | None]
    rows: list[CriterionRow]
    pairs: list[Pair]


class Comparison(Record):
    """`configuration` holds only the keys that differ. A later run is paired with the first that has the preference."""

    runs: list[ComparedRun]
    configuration: list[ConfigDifference] = Field(default_factory=list)
    preferences: list[PreferenceComparison] = Field(default_factory=list)


def compare(runs: Sequence[LoadedRun]) -> Comparison:
    """Compare runs. Every preference that any of them has is in the result, sorted by name."""
    if not runs:
        raise ConfigError("compare needs at least one run")
    names = sorted({name for run in runs for name in run.preferences})
    return Comparison(
        runs=[_column(run) for run in runs],
        configuration=configuration_differences([run.preferences for run in runs]),
        preferences=[_preference(name, [run.preferences.get(name) for run in runs]) for name in names],
    )


def _column(run: LoadedRun) -> ComparedRun:
    first = next(iter(run.preferences.values())).adapter
    return ComparedRun(
        run_id=run.run_id,
        folder=str(run.folder),
        created=min(preference.adapter.provenance.created for preference in run.preferences.values()),
        seed=first.config.get("seed"),
        base_model=first.config.get("base_model"),
        sweep_id=first.config.get("sweep_id"),
    )


def _preference(name: str, found: Sequence[PreferenceRun | None]) -> PreferenceComparison:
    verdicts = [run.verdict if run is not None else None for run in found]
    present = [rule.name for rule in RULES if any(v is not None and rule.name in v.criteria for v in verdicts)]
    indices = [index for index, run in enumerate(found) if run is not None]
    return PreferenceComparison(
        preference=name,
        overall=[verdict.overall if verdict is not None else None for verdict in verdicts],
        sentences=[verdict.sentence if verdict is not None else None for verdict in verdicts],
        rows=[
            CriterionRow(criterion=key, cells=[v.criteria.get(key) if v is not None else None for v in verdicts])
            for key in present
        ],
        pairs=[_pair(found, indices[0], index) for index in indices[1:]],
    )


# --- two runs -------------------------------------------------------------------------------------


def _pair(found: Sequence[PreferenceRun | None], reference: int, index: int) -> Pair:
    one, other = found[reference], found[index]
    assert one is not None
    assert other is not None
    between = obstacles(one, other)
    shown = {name for name in PAIRED if name in one.verdict.criteria or name in other.verdict.criteria}
    differences = {rule.name: _difference(rule, one, other, between) for rule in RULES if rule.name in shown}
    pair = Pair(reference=reference, run=index, obstacles=between, differences=differences)
    return pair.model_copy(update=_flips(one, other, between))


def _difference(rule: Rule, one: PreferenceRun, other: PreferenceRun, between: Sequence[Obstacle]) -> PairedDifference:
    in_the_way = "; ".join(obstacle.sentence for obstacle in blocking(between, rule.name))
    reason = in_the_way or _not_measured(rule, one, "the first") or _not_measured(rule, other, "the other")
    if reason:
        return PairedDifference(change=None, reason=reason)
    found = rule.measure(_states(one, other))
    if isinstance(found, Unmeasured):
        return PairedDifference(change=None, reason=found.reason)
    return _as_difference(found)


def _as_difference(found: Finding) -> PairedDifference:
    told = f": {found.evidence.replace('_', ' ')}" if found.evidence is not None else ""
    return PairedDifference(
        change=found.change,
        interval=found.interval,
        n=found.n,
        floor=found.floor,
        evidence=found.evidence,
        sentence=f"{found.words}{told}",
    )


def _not_measured(rule: Rule, run: PreferenceRun, which: str) -> str | None:
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
    again = rule.measure(States(run.baseline, run.steps[-1].eval))
    if isinstance(again, Unmeasured) or abs(again.value - criterion.value) > 1e-9:
        return (
            f"{which} of the two runs was scored afresh after its steps were recorded, with another result: its "
            "recorded scores are not those of its verdict"
        )
    return None


def _states(one: PreferenceRun, other: PreferenceRun) -> States:
    """The first run's last state as the baseline of the other's."""
    then, now = one.steps[-1].eval, other.steps[-1].eval
    then = _with(then, "compliance", noise=_noise(one, other)) if then.stats.compliance is not None else then
    before, after = then.stats.logprob, now.stats.logprob
    if before is not None and after is not None:
        delta = Units(scores=changes(after.margins.scores, before.margins.scores)).amount()
        now = _with(now, "logprob", delta=delta)
    return States(then, now)


def _with(snapshot: EvalSnapshot, metric: str, **changed: object) -> EvalSnapshot:
    stats = getattr(snapshot.stats, metric).model_copy(update=changed)
    return snapshot.model_copy(update={"stats": snapshot.stats.model_copy(update={metric: stats})})


def _noise(one: PreferenceRun, other: PreferenceRun) -> object:
    """The noisier of the two deployments; unknown where either is."""
    found = [
        run.baseline.stats.compliance.noise if run.baseline and run.baseline.stats.compliance else None
        for run in (one, other)
    ]
    if None in found:
        return None
    return max(found, key=lambda noise: noise_floor(noise, noise.n if noise else 0) or 0.0)


# --- flips ----------------------------------------------------------------------------------------


def _flips(one: PreferenceRun, other: PreferenceRun, between: Sequence[Obstacle]) -> Mapping[str, object]:
    """Fields of `Pair`. Prompts asked in one run only do not stop those asked in both from being compared."""
    stopping = [o for o in blocking(between, "compliance") if o.what != "the preference's heldout_prompts differ"]
    first, second = one.last, other.last
    if stopping or first is None or second is None:
        because = "; ".join(obstacle.sentence for obstacle in stopping) or "one of the runs has no state yet"
        return {"no_flips_because": because}
    name = findings.compliance_set(States(one.baseline or first, second))
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
    stats = snapshot.stats.compliance
    return stats.sets[name].passed if stats is not None and name in stats.sets else {}


def _answers(snapshot: EvalSnapshot, name: str) -> dict[str, str | None]:
    return {t.question: t.answer for t in snapshot.rollouts if t.key.startswith(f"compliance/{name}/")}

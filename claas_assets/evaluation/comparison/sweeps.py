"""Sweeps and replicates: runs with the same configuration apart from the seed are one recipe.

One run speaks for its adapter. A recipe's number is the mean over seeds, with a Student t interval over the
seeds' values; below `CLAIM_SEEDS` seeds there is a mean and no claim.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import Field

from claas_assets.evaluation.comparison.comparability import Obstacle, obstacles
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.metrics.statistics import student_t
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.recorded_config import flat
from claas_assets.evaluation.storage.records import Interval, Record
from claas_assets.evaluation.verdict.criteria import RULES
from claas_assets.evaluation.verdict.outcome import outcome_of

if TYPE_CHECKING:
    from claas_assets.evaluation.runs.frames import LoadedRun

CLAIM_SEEDS = 3
CONTROL = "control"
"""The key that makes a run a control: `none`, `placebo` or `shuffled`."""
NOT_THE_RECIPE = {
    "seed", "sweep_id", "output_dir", "claas_url", "lora_id_prefix", "preferences", "preferences_dir", "plots",
    "fail_on",
}  # fmt: skip
"""Keys that say where a run is, what else it evaluated and what is done with its results."""
_RANGES = {
    "obeyed": (0.0, 1.0), "over_application": (-1.0, 1.0), "degenerate_on_preference": (-1.0, 1.0),
    "degenerate_elsewhere": (-1.0, 1.0), "self_rouge_l": (0.0, 1.0),
    "capability_change": (-1.0, 1.0), "loops": (-1.0, 1.0), "capability_ratio": (0.0, math.inf),
    "entropy_ratio": (0.0, math.inf), "fixed_text_drift": (0.0, math.inf),
}  # fmt: skip


class SeedValue(Record):
    """A criterion under one seed: the mean of its runs, where that seed was run more than once."""

    seed: int
    value: float
    runs: list[str]


class SeedMean(Record):
    """A criterion over the seeds of a recipe, in its own unit. `left_out`: run id → why it has no value.

    `interval` is None below `CLAIM_SEEDS` seeds, and where all seeds have the same value: they then say
    nothing about how far another seed may be.
    """

    mean: float | None
    interval: Interval | None
    seeds: list[SeedValue]
    left_out: dict[str, str] = Field(default_factory=dict)
    claim: str


class Recipe(Record):
    """Runs with the same configuration apart from the seed. `settings`: the swept keys with their values here.

    `obstacles`: why it cannot be compared with the first recipe of the table. `gains`: control → criterion → how
    much more than under that control run of the same recipe, seed by seed; the others have none.
    """

    label: str
    settings: dict[str, Any]
    runs: list[str]
    outcomes: dict[str, int]
    criteria: dict[str, SeedMean]
    obstacles: list[Obstacle] = Field(default_factory=list)
    gains: dict[str, dict[str, SeedMean]] = Field(default_factory=dict)


class PreferenceSweep(Record):
    preference: str
    recipes: list[Recipe]


class SweepComparison(Record):
    """`swept`: the keys that differ between runs, apart from the seed. `broken`: run id → why it is not in here."""

    sweep_id: str | None
    swept: list[str]
    preferences: list[PreferenceSweep]
    broken: dict[str, str] = Field(default_factory=dict)


def group_seeds(runs: Sequence[LoadedRun], sweep_id: str | None = None) -> SweepComparison:
    """The recipes among `runs`, by preference. The order of the runs does not matter."""
    if not runs:
        raise ConfigError("a sweep needs at least one run")
    runs = sorted(runs, key=lambda run: run.run_id)
    configs = [flat(preference.adapter.config) for run in runs for preference in run.preferences.values()]
    swept = [
        key
        for key in sorted({key for config in configs for key in config} - NOT_THE_RECIPE)
        if any(config.get(key) != configs[0].get(key) for config in configs)
    ]
    names = sorted({name for run in runs for name in run.preferences})
    return SweepComparison(
        sweep_id=sweep_id,
        swept=swept,
        preferences=[
            PreferenceSweep(
                preference=name,
                recipes=_recipes({r.run_id: r.preferences[name] for r in runs if name in r.preferences}, swept),
            )
            for name in names
        ],
    )


def _recipes(runs: Mapping[str, PreferenceRun], swept: Sequence[str]) -> list[Recipe]:
    groups: list[dict[str, PreferenceRun]] = []
    for run_id, run in runs.items():
        home = next((group for group in groups if _same_recipe(next(iter(group.values())), run)), None)
        if home is None:
            groups.append({run_id: run})
        else:
            home[run_id] = run
    groups.sort(key=lambda group: [_order(value) for value in _settings(next(iter(group.values())), swept).values()])
    reference = next(iter(groups[0].values()))
    found = [_recipe(group, swept, obstacles(reference, next(iter(group.values())))) for group in groups]
    return [recipe.model_copy(update={"gains": _gains(recipe, found)}) for recipe in found]


def _gains(recipe: Recipe, recipes: Sequence[Recipe]) -> dict[str, dict[str, SeedMean]]:
    """Over each control run that differs from this recipe in nothing else. What feedback does by being feedback,
    whatever it says, is in both, and so in no difference."""
    if recipe.settings.get(CONTROL) != "none":
        return {}
    controls = [other for other in recipes if {**other.settings, CONTROL: "none"} == recipe.settings]
    return {
        str(control.settings[CONTROL]): {
            name: _gain(mean, control.criteria[name])
            for name, mean in recipe.criteria.items()
            if name in control.criteria
        }
        for control in controls
        if control is not recipe
    }


def _gain(treated: SeedMean, control: SeedMean) -> SeedMean:
    """The differences of the seeds that both have, as a mean over them."""
    under = {seed.seed: seed for seed in control.seeds}
    seeds = [
        SeedValue(seed=s.seed, value=s.value - under[s.seed].value, runs=[*s.runs, *under[s.seed].runs])
        for s in treated.seeds
        if s.seed in under
    ]
    return _over_seeds("", seeds, {**treated.left_out, **control.left_out})


def _same_recipe(one: PreferenceRun, other: PreferenceRun) -> bool:
    """The same configuration, and nothing that makes their numbers incomparable."""
    return _recipe_of(one) == _recipe_of(other) and not obstacles(one, other)


def _recipe_of(run: PreferenceRun) -> str:
    config = {key: value for key, value in flat(run.adapter.config).items() if key not in NOT_THE_RECIPE}
    return json.dumps(config, sort_keys=True)


def _settings(run: PreferenceRun, swept: Sequence[str]) -> dict[str, Any]:
    config = flat(run.adapter.config)
    return {key: config.get(key) for key in swept}


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then everything else by its text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, json.dumps(value, sort_keys=True)


def _recipe(runs: Mapping[str, PreferenceRun], swept: Sequence[str], between: list[Obstacle]) -> Recipe:
    settings = _settings(next(iter(runs.values())), swept)
    names = in_order(name for run in runs.values() for name in run.verdict.criteria)
    return Recipe(
        label=", ".join(f"{key}={short(value)}" for key, value in settings.items()) or "one configuration",
        settings=settings,
        runs=list(runs),
        outcomes=dict(Counter(outcome_of(run.verdict) for run in runs.values())),
        criteria={name: seed_mean(name, runs) for name in names},
        obstacles=between,
    )


def in_order(criteria: Iterable[str]) -> list[str]:
    """Names of criteria in the order of the verdict's table; of a sequence, those of its preferences first."""
    there = dict.fromkeys(criteria)
    rules = [rule.name for rule in RULES if rule.name in there]
    return [*(name for name in there if name not in rules), *rules]


def short(value: Any) -> str:
    """A setting as headings show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def seed_mean(criterion: str, runs: Mapping[str, PreferenceRun]) -> SeedMean:
    """One criterion over the seeds of a recipe. Runs that did not finish or did not measure it are left out."""
    left_out = {run_id: why for run_id, run in runs.items() if (why := _no_value(criterion, run)) is not None}
    by_seed: dict[int, dict[str, float]] = {}
    for run_id, run in runs.items():
        value = run.verdict.criteria[criterion].value if run_id not in left_out else None
        if value is not None:
            by_seed.setdefault(int(run.adapter.config["seed"]), {})[run_id] = value
    seeds = [
        SeedValue(seed=seed, value=fmean(by_run.values()), runs=list(by_run))
        for seed, by_run in sorted(by_seed.items())
    ]
    return _over_seeds(criterion, seeds, left_out)


def _over_seeds(criterion: str, seeds: list[SeedValue], left_out: dict[str, str]) -> SeedMean:
    values = [seed.value for seed in seeds]
    interval = _interval(criterion, values)
    return SeedMean(
        mean=fmean(values) if values else None,
        interval=interval,
        seeds=seeds,
        left_out=left_out,
        claim=_claim(values, interval),
    )


def _no_value(criterion: str, run: PreferenceRun) -> str | None:
    if run.verdict.overall == "unfinished":
        return f"unfinished: {run.verdict.steps_recorded} of {run.verdict.num_steps} steps"
    if not isinstance(run.adapter.config.get("seed"), int):
        return "its configuration names no seed"
    ruled = run.verdict.criteria.get(criterion)
    if ruled is None:
        return "not asked for"
    return (ruled.reason or "not measured") if ruled.value is None else None


def _interval(criterion: str, values: Sequence[float]) -> Interval | None:
    """Student's t, cut to the range that the criterion can have."""
    if max(values, default=0.0) - min(values, default=0.0) < 1e-12:
        return None
    interval = student_t(values, at_least=CLAIM_SEEDS)
    if interval is None or criterion not in _RANGES:
        return interval
    lowest, highest = _RANGES[criterion]
    return interval.model_copy(update={"lower": max(lowest, interval.lower), "upper": min(highest, interval.upper)})


def _claim(values: Sequence[float], interval: Interval | None) -> str:
    count = f"{len(values)} seed{'' if len(values) == 1 else 's'}"
    if len(values) < CLAIM_SEEDS:
        return f"{count}: no claim"
    if interval is None:
        return f"{count}, all equal: no interval, no claim"
    return f"{count}: mean {fmean(values):.3g}, 95 % {interval.lower:.3g}…{interval.upper:.3g}"


def swept_values(sweep: SweepComparison) -> dict[str, list[Any]]:
    """Swept key → its values in the order of the recipes, each once."""
    values: dict[str, list[Any]] = {key: [] for key in sweep.swept}
    for recipe in (recipe for preference in sweep.preferences for recipe in preference.recipes):
        for key, distinct in values.items():
            if recipe.settings[key] not in distinct:
                distinct.append(recipe.settings[key])
    return values

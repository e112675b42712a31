"""What makes two runs incomparable, and what of their configuration differs.

A difference in how a run was *made* (learning rate, steps, seed) is what one compares. A difference in how
it was *measured* (token limit, temperature, metrics, size of snapshot, versions, prompts, verifier), in what it
was to learn, or in the model it began from is an obstacle: numbers stand side by side, and no paired difference
is claimed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.metrics import METRIC_NAMES
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.storage.recorded_config import flat, measuring_inputs
from claas_assets.evaluation.storage.records import EvalSnapshot, Record
from claas_assets.evaluation.verdict.criteria import RULES

EVERY = tuple(rule.name for rule in RULES)
_NOT_COMPARED = {"output_dir", "sweep_id"}  # where a run is, not what it is
_SETS = {"neutral_prompts": "collapse", "fixed_texts": "collapse", "capability_items": "general"}
"""Prompts that a metric brings with it → the metric."""
_PARTS = {
    "feedback_string": EVERY,
    "feedback_strings": EVERY,
    "probe_prompts": EVERY,  # trained on
    "version": EVERY,
    "verifier": ("obeyed",),
    "heldout_prompts": ("obeyed", "degenerate_on_preference"),
    "over_application": ("over_application", "degenerate_elsewhere"),
    "logprob_pairs": ("logprob_margin",),
}
"""Parts of a preference file, and the criteria that cannot be compared where a part differs."""
_BEFORE: dict[str, Any] = {"feedback_strings": []}
"""What held in runs that were made before there were such parts."""


class Obstacle(Record):
    """Why some criteria of two runs cannot be compared. `values`: of the one and of the other, in words."""

    what: str
    values: tuple[str, str]
    criteria: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"{self.what}: {self.values[0]} and {self.values[1]}"


class ConfigDifference(Record):
    """A key of the configuration that is not the same in all runs; `values` in the order of the runs.

    Where the preferences of one run differ, its value is a mapping by preference.
    """

    key: str
    values: list[Any]


def obstacles(one: PreferenceRun, other: PreferenceRun) -> list[Obstacle]:
    """Everything that stands between two runs of one preference; empty where they may be compared."""
    found = [_base_model, _measuring, _preference_text, _judges, _versions]
    return [obstacle for find in found for obstacle in find(one, other)]


def blocking(between: Sequence[Obstacle], criterion: str) -> list[Obstacle]:
    return [obstacle for obstacle in between if criterion in obstacle.criteria]


def _base_model(one: PreferenceRun, other: PreferenceRun) -> Iterator[Obstacle]:
    models = str(one.adapter.config.get("base_model")), str(other.adapter.config.get("base_model"))
    if models[0] != models[1]:
        yield Obstacle(what="base models differ", values=models, criteria=EVERY)


def _measuring(one: PreferenceRun, other: PreferenceRun) -> Iterator[Obstacle]:
    """A longer answer, or a sampled one, is another measurement, whatever the metric."""
    inputs = measuring_inputs(one.adapter.config), measuring_inputs(other.adapter.config)
    for key in inputs[0]:
        if inputs[0][key] != inputs[1][key]:
            yield Obstacle(what=f"{key} differ", values=_said(inputs[0][key], inputs[1][key]), criteria=EVERY)


def _said(one: Any, other: Any) -> tuple[str, str]:
    return (", ".join(one), ", ".join(other)) if isinstance(one, list) else (str(one), str(other))


def _preference_text(one: PreferenceRun, other: PreferenceRun) -> Iterator[Obstacle]:
    texts = one.adapter.preference_text, other.adapter.preference_text
    for part, criteria in _PARTS.items():
        values = texts[0].get(part, _BEFORE.get(part)), texts[1].get(part, _BEFORE.get(part))
        if values[0] != values[1]:
            words = _in_words(*values), _in_words(*reversed(values))
            yield Obstacle(what=f"the preference's {part} differ", values=words, criteria=criteria)


def _judges(one: PreferenceRun, other: PreferenceRun) -> Iterator[Obstacle]:
    """Two models judge otherwise, whatever the answers are."""
    models = _models_of_judge(one), _models_of_judge(other)
    if models[0] != models[1]:
        criteria = ("obeyed", "over_application")
        yield Obstacle(what="judges differ", values=(models[0] or "none", models[1] or "none"), criteria=criteria)


def _models_of_judge(run: PreferenceRun) -> str:
    compliance = run.baseline.stats.compliance if run.baseline is not None else None
    return ", ".join(compliance.judge.models) if compliance is not None and compliance.judge is not None else ""


def _in_words(value: Any, other: Any) -> str:
    """A list is said by how many of it are in this run only: the whole of it would be pages."""
    if not isinstance(value, list | tuple):
        return repr(value)
    foreign = other if isinstance(other, list | tuple) else ()
    own = sum(item not in foreign for item in value)
    return f"{own} of {len(value)} in this run only" if own else f"{len(value)}, in another order or number"


def _versions(one: PreferenceRun, other: PreferenceRun) -> Iterator[Obstacle]:
    """Versions of metrics and prompt sets, of those that made the verdict and those that made the step's scores."""
    for words, versions in (
        ("", (one.verdict.versions, other.verdict.versions)),
        (" of the recorded scores", (_step_versions(one), _step_versions(other))),
    ):
        for name in versions[0].keys() & versions[1].keys():
            values = str(versions[0][name]), str(versions[1][name])
            if values[0] != values[1]:
                yield Obstacle(what=f"versions of {name}{words} differ", values=values, criteria=measured_by(name))


def measured_by(name: str) -> tuple[str, ...]:
    """The criteria of a metric or prompt set. Raises `RunFolderError` for a name that is neither."""
    if name == "preference":
        return EVERY
    if name == "degenerate":
        return ("obeyed", "degenerate_on_preference", "degenerate_elsewhere")
    metric = _SETS.get(name, name)
    if metric not in METRIC_NAMES:
        known = ", ".join(("preference", "degenerate", *METRIC_NAMES, *_SETS))
        raise RunFolderError(
            f"versions: there is no metric and no set of prompts {name!r}, so what it makes incomparable is not known. "
            f"Names: {known}. The runs may be of a newer version of this package"
        )
    return tuple(rule.name for rule in RULES if rule.metric == metric)


def _step_versions(run: PreferenceRun) -> dict[str, int]:
    snapshot: EvalSnapshot | None = run.last
    if snapshot is None:
        return {}
    general = snapshot.stats.general
    items = {"capability_items": general.items_version} if general and general.items_version is not None else {}
    return {**snapshot.versions, **items}


# --- configuration ------------------------------------------------------------------------------


def configuration_differences(runs: Sequence[Mapping[str, PreferenceRun]]) -> list[ConfigDifference]:
    """The keys whose values differ between runs. A key that an older run has not is null there."""
    configs = [_config_of(run) for run in runs]
    keys = sorted({key for config in configs for key in config} - _NOT_COMPARED)
    rows = [ConfigDifference(key=key, values=[config.get(key) for config in configs]) for key in keys]
    return [row for row in rows if any(value != row.values[0] for value in row.values[1:])]


def _config_of(run: Mapping[str, PreferenceRun]) -> dict[str, Any]:
    configs = {name: flat(preference.adapter.config) for name, preference in run.items()}
    merged: dict[str, Any] = {}
    for key in {key for config in configs.values() for key in config}:
        values = {name: config.get(key) for name, config in configs.items()}
        alike = all(value == next(iter(values.values())) for value in values.values())
        merged[key] = next(iter(values.values())) if alike else values
    return merged

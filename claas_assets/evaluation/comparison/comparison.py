"""Runs side by side: criteria, what differs in their configuration, and each further run against the first.

`compare` is pure, and its result is a record: the command line prints it, a web page can too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from claas_assets.evaluation.comparison.comparability import ConfigDifference, configuration_differences
from claas_assets.evaluation.comparison.pairing import Pair, pair_runs
from claas_assets.evaluation.comparison.sweeps import in_order
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.runs.loading import PreferenceRun
from claas_assets.evaluation.runs.rescoring import scored_alike
from claas_assets.evaluation.storage.records import Criterion, Overall, Record
from claas_assets.evaluation.verdict.outcome import outcome_of

if TYPE_CHECKING:
    from claas_assets.evaluation.runs.frames import LoadedRun


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


class PreferenceComparison(Record):
    """Lists are in the order of the runs; None where a run does not have the preference."""

    preference: str
    scored: str | None = None
    """What was done to make the scores comparable, or why it could not be; None where they were already."""
    outcomes: list[str | None] = Field(default_factory=list)
    """The conclusion in words; see `verdict.outcome`."""
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


_OF_SEQUENCES = (
    "sequences stand side by side and are not paired: what one order or one feedback does more than another is a "
    "question to several seeds (--sweep)"
)


def _preference(name: str, runs: Sequence[PreferenceRun | None]) -> PreferenceComparison:
    is_sequence = any(run is not None and run.adapter.sequence is not None for run in runs)
    again, scored = scored_alike([run for run in runs if run is not None])
    if is_sequence:
        scored = _OF_SEQUENCES
    scored_runs = iter(again)
    runs = [next(scored_runs) if run is not None else None for run in runs]
    verdicts = [run.verdict if run is not None else None for run in runs]
    present = in_order(name for verdict in verdicts if verdict is not None for name in verdict.criteria)
    there = [(index, run) for index, run in enumerate(runs) if run is not None]
    return PreferenceComparison(
        preference=name,
        scored=scored,
        outcomes=[outcome_of(verdict) if verdict is not None else None for verdict in verdicts],
        overall=[verdict.overall if verdict is not None else None for verdict in verdicts],
        sentences=[verdict.sentence if verdict is not None else None for verdict in verdicts],
        rows=[
            CriterionRow(criterion=key, cells=[v.criteria.get(key) if v is not None else None for v in verdicts])
            for key in present
        ],
        pairs=[] if is_sequence else [pair_runs(there[0], other) for other in there[1:]],
    )

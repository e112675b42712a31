"""Runs as pandas frames, for a notebook:

    import claas_assets
    run = claas_assets.load_run("data/example")
    run.steps.plot(x="step", y="obeyed")

Every frame is tidy: one row an observation, with the columns run_id, preference and, where there are
states, phase (baseline or step), step (as in the files: -1 for the baseline, then counted from 0) and
steps_done (as on the terminal: 0 for the baseline, then from 1). The last columns are the seed and, of
several runs, every other setting in which they differ, by its dotted key. What was not measured is NaN;
`metrics.reason` says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs import frame_rows
from claas_assets.evaluation.runs.loading import PreferenceRun, preference_folders, read_run, run_folders
from claas_assets.evaluation.storage.recorded_config import flat
from claas_assets.evaluation.storage.records import METRIC_COLUMNS
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from claas_assets.evaluation.storage.stores import Place, place_at
from claas_assets.evaluation.verdict.outcome import outcome_of

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]
_OF_THE_FOLDER = {"output_dir", "sweep_id", "preferences"}
"""Settings that say where a run is, and of what."""


class Frames:
    """The five frames of whatever has `runs`."""

    runs: tuple[LoadedRun, ...]

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row a state: its headline numbers, what was sent, how long it took, the engine's `sdpo_…` numbers."""
        return _frame(self._rows(frame_rows.step_rows), frame_rows.STEP_COLUMNS)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a quantity and state, with the columns of `metrics.csv`: value, unit, n, interval, reason."""
        return _frame(self._rows(frame_rows.metric_rows), METRIC_COLUMNS)

    @cached_property
    def transcripts(self) -> pd.DataFrame:
        """One row a question and state, with the answer and, where it was verified, score, passed and detail."""
        return _frame(self._rows(frame_rows.transcript_rows), frame_rows.TRANSCRIPT_COLUMNS)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row a criterion: value, change, interval, grade, evidence; `overall` is the preference's verdict."""
        return _frame(self._rows(frame_rows.verdict_rows), frame_rows.VERDICT_COLUMNS)

    @cached_property
    def retention(self) -> pd.DataFrame:
        """Of sequences, one row a phase's end and preference: how often it was obeyed there, and what became of it."""
        return _frame(self._rows(frame_rows.retention_rows), frame_rows.RETENTION_COLUMNS)

    def _rows(self, rows_of: Callable[[str, PreferenceRun], Iterable[dict[str, Any]]]) -> Rows:
        keys = _differing(self.runs)
        return [
            {
                **row,
                **({"steps_done": row["step"] + 1} if "step" in row else {}),
                **{key: flat(preference.adapter.config).get(key) for key in keys},
            }
            for run in self.runs
            for preference in run.preferences.values()
            for row in rows_of(run.run_id, preference)
        ]


@dataclass(frozen=True)
class LoadedRun(Frames):
    """One run folder. `run_id` is the folder's name; `preferences` holds the records that frames are made of."""

    run_id: str
    folder: Place
    preferences: dict[str, PreferenceRun]

    @property
    def runs(self) -> tuple[LoadedRun, ...]:  # type: ignore[override]
        return (self,)

    def __repr__(self) -> str:
        told = ", ".join(f"{name}: {outcome_of(run.verdict)}" for name, run in self.preferences.items())
        return f"<run {self.run_id} ({told})>"


@dataclass(frozen=True)
class LoadedRuns(Frames):
    """Several runs, oldest first. `broken`: run id → why it could not be read; those are in no frame."""

    runs: tuple[LoadedRun, ...]
    broken: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[LoadedRun]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)


def load_run(path: str | Place) -> LoadedRun:
    """The run in folder `path`, here or at an fsspec address.

    Raises `RunFolderError`, which names the file that cannot be used.
    """
    folder = place_at(path)
    run_id = folder.resolve().name if isinstance(folder, Path) else folder.name
    return LoadedRun(run_id=run_id, folder=folder, preferences=read_run(RunFolder(folder)))


def load_runs(results_dir: str | Place = "data/evals", *, sweep_id: str | None = None) -> LoadedRuns:
    """Every run below `results_dir`; with `sweep_id`, those of that sweep.

    A run that cannot be read is in `broken` and warned about. Raises `RunFolderError` where `results_dir`
    is not a folder.
    """
    runs: list[LoadedRun] = []
    broken: dict[str, str] = {}
    for folder in run_folders(place_at(results_dir)):
        try:
            if sweep_id is None or sweep_id in _sweeps_of(folder):
                runs.append(load_run(folder))
        except RunFolderError as error:
            broken[folder.name] = str(error)
            warnings.warn(f"run {folder.name} is left out: {error}", stacklevel=2)
    return LoadedRuns(runs=tuple(sorted(runs, key=_begun)), broken=broken)


def _sweeps_of(folder: Place) -> list[Any]:
    """The sweep that the run in `folder` is part of, from its metadata alone: a sweep is found among many runs."""
    return [PreferenceFolder(path).adapter().config.get("sweep_id") for path in preference_folders(folder)]


def _differing(runs: Sequence[LoadedRun]) -> list[str]:
    """The seed, and the dotted keys of the other settings that are not the same in all these runs."""
    configs = [flat(preference.adapter.config) for run in runs for preference in run.preferences.values()]
    keys = sorted({key for config in configs for key in config} - _OF_THE_FOLDER - {"seed"})
    return ["seed", *(key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs))]


def _begun(run: LoadedRun) -> tuple[str, str]:
    return min(preference.adapter.provenance.created for preference in run.preferences.values()), run.run_id


def _frame(rows: Rows, columns: Iterable[str]) -> pd.DataFrame:
    import pandas as pd  # 0.4 s to import, and most commands need none

    first = list(columns)
    further = sorted({name for row in rows for name in row} - set(first))
    return pd.DataFrame(rows, columns=[*first, *further])

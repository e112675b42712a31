"""A run folder → its records, as one value. The numbers are those that the files hold: nothing is scored here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.names import is_preference_name
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, MetricTable, StepRecord, VerdictRecord
from claas_assets.evaluation.storage.run_files import read_asset, read_steps
from claas_assets.evaluation.storage.stores import Place, exists, folders_in, is_folder
from claas_assets.evaluation.verdict.metric_table import BASELINE_STEP, metric_rows
from claas_assets.evaluation.verdict.ruling import judge

_FILES = ("metadata.json", "baseline.json", "steps.jsonl", "verdict.json", "metrics.csv")


@dataclass(frozen=True)
class PreferenceRun:
    """One preference of one run. `baseline` is None where it has not been measured yet."""

    adapter: AdapterRecord
    baseline: EvalSnapshot | None
    steps: tuple[StepRecord, ...]
    verdict: VerdictRecord
    table: MetricTable | None = None

    @property
    def states(self) -> Iterator[tuple[str, int, EvalSnapshot]]:
        """(phase, step, snapshot), the baseline first, as phase "baseline" and step -1."""
        if self.baseline is not None:
            yield "baseline", BASELINE_STEP, self.baseline
        yield from (("step", record.step, record.eval) for record in self.steps)

    @property
    def last(self) -> EvalSnapshot | None:
        """The state that decides: after the last recorded step, or the baseline where there is none."""
        return self.steps[-1].eval if self.steps else self.baseline

    @cached_property
    def metric_rows(self) -> list[dict[str, Any]]:
        """Rows of `metrics.csv`; made from the recorded snapshots where that file is older than the steps."""
        if self.baseline is None:
            return []
        if self.table is not None and {row["step"] for row in self.table.rows} == {s for _, s, _ in self.states}:
            return self.table.rows
        return metric_rows(self.adapter.run_id, self.adapter.preference, self.baseline, self.steps)


def preference_folders(run_folder: Place) -> list[Any]:
    """The folders of a run that hold a preference's files, sorted by name."""
    folders = [folder for folder in folders_in(run_folder) if is_preference_name(folder.name)]
    return [folder for folder in folders if any(exists(folder / name) for name in _FILES)]


def run_folders(results_dir: Place) -> list[Any]:
    """The folders below `results_dir` that hold something of a run, sorted by name.

    Raises `RunFolderError` where `results_dir` is not a folder.
    """
    if not is_folder(results_dir):
        raise RunFolderError(f"{results_dir}: there is no such folder: name the folder that holds the run folders")
    folders = [folder for folder in folders_in(results_dir) if not folder.name.startswith(".")]
    return [folder for folder in folders if exists(folder / "summary.json") or preference_folders(folder)]


def read_run(run_folder: Place) -> dict[str, PreferenceRun]:
    """Every preference of a run, by name. Raises `RunFolderError` naming the file that cannot be used."""
    if not is_folder(run_folder):
        raise RunFolderError(f"{run_folder}: there is no such run folder")
    folders = preference_folders(run_folder)
    if not folders:
        raise RunFolderError(f"{run_folder}: not a run folder: no folder in it holds a preference's metadata.json")
    return {folder.name: _read_preference(folder) for folder in folders}


def _read_preference(folder: Place) -> PreferenceRun:
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(f"{folder}: its files are not those of a run of this version: {what}") from error


def _read(folder: Place) -> PreferenceRun:
    adapter: AdapterRecord = read_asset("adapter", folder / "metadata.json")
    if adapter.preference != folder.name:
        raise RunFolderError(
            f"{folder}/metadata.json: is of preference {adapter.preference!r}, and its folder is {folder.name!r}"
        )
    baseline: EvalSnapshot | None = _if_there("baseline", folder / "baseline.json")
    steps = read_steps(folder)
    verdict: VerdictRecord | None = _if_there("verdict", folder / "verdict.json")
    if verdict is None or verdict.steps_recorded != len(steps.steps):
        verdict = judge(
            adapter,
            baseline,
            steps.steps,
            thresholds=Thresholds(**adapter.config.get("thresholds", {})),
            metrics=adapter.config["metrics"],
            num_steps=steps.num_steps,
        )
    table = _if_there("metric_table", folder / "metrics.csv")
    return PreferenceRun(adapter, baseline, tuple(steps.steps), verdict, table)


def _if_there(asset: str, path: Place) -> Any:
    return read_asset(asset, path) if exists(path) else None

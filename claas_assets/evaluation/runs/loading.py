"""A run folder → its records, as one value. The numbers are those that the files hold: nothing is scored here."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.errors import NoSuchRun, RunFolderError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.storage.names import is_preference_name
from claas_assets.evaluation.storage.records import (
    BASELINE_STEP,
    AdapterRecord,
    EvalSnapshot,
    MetricTable,
    TrainingRecord,
    VerdictRecord,
    current,
)
from claas_assets.evaluation.storage.run_folder import PREFERENCE_FILES, SUMMARY_FILE, PreferenceFolder, RunFolder
from claas_assets.evaluation.storage.stores import Place, exists, folders_in, is_folder
from claas_assets.evaluation.verdict.metric_table import metric_rows
from claas_assets.evaluation.verdict.ruling import judge


class PreferenceRun(TrainingRecord):
    """One preference of one run: what was asked and answered, and what was made of it."""

    verdict: VerdictRecord
    """Of the steps that are recorded: the file's, or one by the thresholds of its configuration."""
    table: MetricTable | None = None
    """The file's; None where there is none of the steps that are recorded."""

    @property
    def states(self) -> Iterator[tuple[str, int, EvalSnapshot]]:
        """(phase, step, snapshot), the baseline first, as phase "baseline" and step -1."""
        if self.baseline is not None:
            yield "baseline", BASELINE_STEP, self.baseline
        yield from (("step", record.step, record.eval) for record in self.steps)

    @property
    def metric_rows(self) -> list[dict[str, Any]]:
        """Rows of `metrics.csv`; made from the recorded snapshots where that file does not speak for the steps."""
        if self.baseline is None:
            return []
        if self.table is not None:
            return self.table.rows
        return metric_rows(self.adapter.run_id, self.adapter.preference, self.baseline, self.steps)


def preference_folders(run_folder: Place) -> list[Any]:
    """The folders of a run that hold a preference's files, sorted by name."""
    folders = [folder for folder in folders_in(run_folder) if is_preference_name(folder.name)]
    return [folder for folder in folders if any(exists(folder / name) for name in PREFERENCE_FILES)]


def run_folders(results_dir: Place) -> list[Any]:
    """The folders below `results_dir` that hold something of a run, sorted by name.

    Raises `NoSuchRun` where `results_dir` is not a folder.
    """
    if not is_folder(results_dir):
        raise NoSuchRun(f"{results_dir}: there is no such folder: name the folder that holds the run folders")
    folders = [folder for folder in folders_in(results_dir) if not folder.name.startswith(".")]
    return [folder for folder in folders if exists(folder / SUMMARY_FILE) or preference_folders(folder)]


def read_run(run: RunFolder) -> dict[str, PreferenceRun]:
    """Every preference of a run, by name. Raises `RunFolderError` naming the file that cannot be used."""
    if not is_folder(run.path):
        raise RunFolderError(f"{run.path}: there is no such run folder")
    folders = preference_folders(run.path)
    if not folders:
        raise RunFolderError(f"{run.path}: not a run folder: no folder in it holds a preference's metadata.json")
    return {folder.name: _read_preference(PreferenceFolder(folder)) for folder in folders}


def _read_preference(folder: PreferenceFolder) -> PreferenceRun:
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = words_of(error) if isinstance(error, ValidationError) else str(error)
        what = f"there is no {error}" if isinstance(error, KeyError) else what
        raise RunFolderError(f"{folder.path}: its files are not those of a run of this version: {what}") from error


def _read(folder: PreferenceFolder) -> PreferenceRun:
    adapter: AdapterRecord = folder.adapter()
    if adapter.preference != folder.name:
        raise RunFolderError(
            f"{folder.path}/metadata.json: is of preference {adapter.preference!r}, and its folder is {folder.name!r}"
        )
    training = folder.training()
    recorded = len(training.steps)
    verdict = current(folder.verdict(), recorded)
    if verdict is None:
        verdict = judge(training.as_scored(), Thresholds.recorded(adapter.config.get("thresholds", {})))
    return PreferenceRun(
        adapter=adapter,
        baseline=training.baseline,
        steps=training.steps,
        verdict=verdict,
        table=current(folder.metric_table(), recorded),
    )

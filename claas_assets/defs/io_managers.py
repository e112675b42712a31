"""The IO managers own the layout of a run folder: an asset returns a record, these write and read it.

What a loaded input carries beside its own file is said here, in `LOADS`.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from claas_assets.defs.run_folder import ASSET_FILES, CurrentRunFolder
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.records import ScoresRecord, TrainingRecord, current
from claas_assets.evaluation.storage.run_folder import BASELINE_FILE, METADATA_FILE, PreferenceFolder, RunFolder
from claas_assets.evaluation.storage.stores import size_of

BY_PARTITION = {"by_partition": True}
"""Metadata of an input that takes all partitions: a dict by partition of those that have an adapter."""

_READ: dict[str, Callable[[PreferenceFolder], Any]] = {
    "adapter": PreferenceFolder.adapter,
    "baseline": lambda folder: _untrained(folder),
    "training_steps": PreferenceFolder.training,
    "metric_table": PreferenceFolder.metric_table,
    "collapse_snapshots": PreferenceFolder.collapse,
    "verdict": PreferenceFolder.verdict,
}
_WRITE: dict[str, Callable[[Any, Any], None]] = {
    "adapter": PreferenceFolder.write_adapter,
    "baseline": PreferenceFolder.write_baseline,
    "scores": PreferenceFolder.write_scores,
    "metric_table": PreferenceFolder.write_metric_table,
    "collapse_snapshots": PreferenceFolder.write_collapse,
    "verdict": PreferenceFolder.write_verdict,
    "summary": RunFolder.write_summary,
    "plots": RunFolder.write_plots,
    "report": RunFolder.write_report,
}

LOADS = {
    "baseline": ("adapter",),
    "training_steps": ("adapter", "baseline"),
    "scores": ("training_steps",),
    "verdict": ("adapter", "training_steps"),
    "summary": ("adapter", "baseline", "training_steps", "scores", "verdict"),
}
"""Asset → those whose files its loaded value carries or is checked against, beside its own.

`scores` and `verdict` are held against the number of steps recorded. `summary` is a handle on its run folder:
the report shows transcripts, and plots draw every state.
"""


def _untrained(folder: PreferenceFolder) -> TrainingRecord | None:
    """The adapter with its baseline, before any step: what training begins with."""
    baseline = folder.baseline()
    return None if baseline is None else TrainingRecord(adapter=folder.adapter(), baseline=baseline, steps=[])


class RunFolderIOManager(dg.IOManager):
    """`<run folder>/<preference>/<file>`, or `<run folder>/<file>` for an unpartitioned asset."""

    def __init__(self, run_folder: CurrentRunFolder) -> None:
        self.run_folder = run_folder
        self._loaded: dict[tuple[str, str], Any] = {}  # of this run: four assets and a check read the same megabyte

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        asset, run = _asset_name(context), self.run_folder.folder
        folder = run.preference(context.asset_partition_key) if context.has_asset_partitions else run
        _WRITE[asset](folder, obj)
        self._loaded.pop((asset, folder.path.name), None)
        path = folder.path / ASSET_FILES[asset]
        context.add_output_metadata(
            {"path": dg.MetadataValue.path(str(path)), "size_bytes": dg.MetadataValue.int(size_of(path))}
        )

    def load_input(self, context: dg.InputContext) -> Any:
        asset, run = _asset_name(context), self.run_folder.folder
        if asset == "summary":
            return self._summarized(run)
        if (context.definition_metadata or {}).get("by_partition"):
            folders = [run.preference(key) for key in context.asset_partition_keys]
            return {folder.name: results.verdict_now(folder) for folder in folders if folder.has(METADATA_FILE)}
        folder = run.preference(context.asset_partition_key)
        if (asset, folder.name) not in self._loaded:
            self._loaded[asset, folder.name] = self._load(asset, folder)
        return self._loaded[asset, folder.name]

    def _load(self, asset: str, folder: PreferenceFolder) -> Any:
        record = self._scores(folder) if asset == "scores" else _READ[asset](folder)
        if record is None:
            path = folder.path / ASSET_FILES[asset]
            raise RunFolderError(f"{path} is not there: materialize {asset} first for {folder.name}")
        return record

    def _summarized(self, run: RunFolder) -> RunFolder:
        """The run folder, with scores of every preference that was measured."""
        for name in run.summary():
            if run.preference(name).has(BASELINE_FILE):
                self._scores(run.preference(name))
        return run

    def _scores(self, folder: PreferenceFolder) -> ScoresRecord:
        """The scores of the steps that are recorded now: made here for a run of 0.1.0, which has none, and where
        a run went on and failed before they were made again."""
        scores = current(folder.scores(), folder.steps_recorded())
        if scores is None:
            preferences = self.run_folder.config().preference_folder()
            scores = results.score(folder.training(), load_sequence(folder.name, preferences))
            folder.write_scores(scores)
        return scores


def _asset_name(context: dg.InputContext | dg.OutputContext) -> str:
    return context.asset_key.path[-1]


class RunFolderFiles(dg.ConfigurableIOManagerFactory):
    """Makes the IO manager of the run's folder."""

    run_folder: dg.ResourceDependency[CurrentRunFolder]

    def create_io_manager(self, context: dg.InitResourceContext) -> RunFolderIOManager:
        return RunFolderIOManager(self.run_folder)

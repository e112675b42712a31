"""Which run folder a Dagster run reads and writes: a function of the run, with no pointer file.

1. `run_id` of this resource's configuration, or the root run's tag `claas/eval_run`;
2. else, in a backfill that selects `adapter`, the creation time of the (root) backfill;
3. else, where this run materializes `adapter`, the creation time of the root run;
4. else, the newest folder that has what is asked for and is not younger than this run.
"""

import json
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from claas_assets.defs.settings import EvaluationSettings
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.journal import STEPS_FILE
from claas_assets.evaluation.storage.names import check_run_id, run_id_at
from claas_assets.evaluation.storage.records import moment_of
from claas_assets.evaluation.storage.run_folder import (
    BASELINE_FILE,
    COLLAPSE_FILE,
    METADATA_FILE,
    PLOTS_FOLDER,
    REPORT_FILE,
    SCORES_FILE,
    SUMMARY_FILE,
    TABLE_FILE,
    VERDICT_FILE,
    PreferenceFolder,
    RunFolder,
)
from claas_assets.evaluation.storage.stores import Place, exists, folders_in, read_text

RUN_TAG = "claas/eval_run"
_BACKFILL_TAG, _ROOT_BACKFILL_TAG = "dagster/backfill", "dagster/root_backfill_id"
PARTITION_TAG = "dagster/partition"

ASSET_FILES = {
    "adapter": METADATA_FILE,
    "baseline": BASELINE_FILE,
    "training_steps": STEPS_FILE,
    "scores": SCORES_FILE,
    "metric_table": TABLE_FILE,
    "collapse_snapshots": COLLAPSE_FILE,
    "verdict": VERDICT_FILE,
    "summary": SUMMARY_FILE,
    "plots": PLOTS_FOLDER,
    "report": REPORT_FILE,
}
"""The file of each asset, below `<run folder>/<preference>/` or, for those in `OF_THE_RUN`, `<run folder>/`."""

OF_THE_RUN = ("summary", "plots", "report")

NEEDS = {
    "adapter": (),
    "baseline": ("adapter",),
    "training_steps": ("adapter", "baseline"),
    "scores": ("adapter", "baseline"),
    "metric_table": ("adapter", "baseline"),
    "collapse_snapshots": ("adapter", "baseline"),
    "verdict": ("adapter", "baseline"),
    "summary": ("adapter",),
    "plots": ("adapter", "summary"),
    "report": ("adapter", "summary"),
}
"""What a folder must hold for an asset that is materialized without what is above it. `steps.jsonl` is
not listed: a run that only measures has none. Nor is `scores.json`: it is made where it is not there."""


class CurrentRunFolder(dg.ConfigurableResource):
    """The run folder of this Dagster run.

    It is resolved once, as the run's resources are set up; nothing is created before something is written.
    """

    settings: dg.ResourceDependency[EvaluationSettings]
    run_id: str | None = Field(default=None, description="run folder to use; null: resolved from the Dagster run")
    _path: Any = PrivateAttr()
    _planned: frozenset[str] = PrivateAttr(default=frozenset())

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.run is None or context.instance is None:
            raise RunFolderError("a run folder exists only inside a Dagster run")
        results_dir = self.settings.results_dir
        self._planned = planned_assets(context.instance, context.run)
        self._path = results_dir / resolve_run_id(context.instance, context.run, results_dir, self.run_id)

    @property
    def path(self) -> Place:
        place: Place = self._path
        return place

    def config(self) -> EvalConfig:
        """The configuration of this run, with this folder in it."""
        return self.settings.of_run(self.path)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    def preference(self, name: str) -> PreferenceFolder:
        return self.folder.preference(name)

    def trains(self) -> bool:
        """Whether this run materializes `training_steps`: then what is there is gone on with."""
        return "training_steps" in self._planned


def planned_assets(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[str]:
    """The assets that `run` materializes, from its execution plan (a job's asset selection is empty)."""
    return _step_keys(instance, run) & frozenset(ASSET_FILES)


def _step_keys(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[str]:
    keys = run.step_keys_to_execute
    if not keys and run.execution_plan_snapshot_id:
        keys = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    return frozenset(keys or ())


def resolve_run_id(instance: dg.DagsterInstance, run: dg.DagsterRun, results_dir: Place, configured: str | None) -> str:
    """The run id by the four rules. Raises `RunFolderError` where no folder has what is asked for."""
    root = instance.get_run_by_id(run.root_run_id) if run.root_run_id else run
    root = root or run
    named = configured or root.tags.get(RUN_TAG)
    if named:
        return check_run_id(named)
    began = _created(instance, root.run_id)
    backfill_id = root.tags.get(_ROOT_BACKFILL_TAG) or root.tags.get(_BACKFILL_TAG)
    planned = planned_assets(instance, run)
    if backfill_id:
        backfill = instance.get_backfill(backfill_id)
        if backfill is not None:
            began = datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
            selected = {key.to_user_string() for key in backfill.asset_selection or ()}
            if "adapter" in selected:
                return run_id_at(began)
    if "adapter" in planned:
        return run_id_at(began)
    needed = _needed_files(_step_keys(instance, run))
    return _newest_with(results_dir, needed, run.tags.get(PARTITION_TAG), began)


def _needed_files(steps: Set[str]) -> set[str]:
    """What a folder must hold for the steps of a run that are not made in it: for assets what `NEEDS` says, for
    a check its asset's file (but `steps.jsonl`, which may not be there)."""
    planned = steps & ASSET_FILES.keys()
    checked = {asset for asset in ASSET_FILES for step in steps - planned if step.startswith(f"{asset}_")}
    above = {name for asset in planned for name in NEEDS[asset]}
    above |= {"adapter" if asset == "training_steps" else asset for asset in checked}
    return {ASSET_FILES[name] for name in above - planned}


def _created(instance: dg.DagsterInstance, run_id: str) -> datetime:
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise RunFolderError(f"Dagster run {run_id} is not in the instance: set run_id of the run_folder resource")
    return record.create_timestamp.replace(tzinfo=record.create_timestamp.tzinfo or UTC)


def _newest_with(results_dir: Place, needed: Set[str], preference: str | None, began: datetime) -> str:
    newest: tuple[datetime, str] | None = None
    for folder in _run_folders(results_dir):
        created = folder_created(folder)
        if created is None or created > began:
            continue
        of_run = needed & {ASSET_FILES[asset] for asset in OF_THE_RUN}
        holders = [folder / preference] if preference else folders_in(folder)
        has_it = any(all(exists(holder / name) for name in needed - of_run) for holder in holders)
        if (
            has_it
            and all(exists(folder / name) for name in of_run)
            and (newest is None or (created, folder.name) > newest)
        ):
            newest = created, folder.name
    if newest is None:
        wanted = f"{', '.join(sorted(needed))}" + (f" for preference {preference}" if preference else "")
        raise RunFolderError(
            f"no run folder below {results_dir} has {wanted}: materialize adapter, baseline and training_steps first "
            "(for plots and report the summary too), or name a run with the run_id of the run_folder resource"
        )
    return newest[1]


def _run_folders(results_dir: Place) -> Iterator[Any]:
    yield from (folder for folder in folders_in(results_dir) if not folder.name.startswith("."))


def folder_created(folder: Place) -> datetime | None:
    """The creation time recorded in the folder (not its name: `manual-run` sorts after every timestamp)."""
    times = [t for held in RunFolder(folder).preferences() if (t := _recorded(held.path / METADATA_FILE)) is not None]
    return min(times, default=None)


def _recorded(metadata: Place) -> datetime | None:
    try:
        return moment_of(json.loads(read_text(metadata))["provenance"]["created"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # a broken run is not the newest good one

"""Preference files as sources of the graph: an edited file makes what was scored with it stale.

Training froze the text of the file in `metadata.json`, so only scoring is downstream.
"""

import warnings
from collections.abc import Set
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG, extract_data_version_from_entry

from claas_assets.defs.run_folder import RunFolder
from claas_assets.defs.settings import EvaluationSettings
from claas_assets.evaluation.verdict.versions import preference_file_version

PREFERENCE_FILE = dg.AssetKey("preference_file")
_SCORED: Set[str] = {"metric_table", "collapse_snapshots", "verdict"}


def preference_files(preferences: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The observable source asset `preference_file`, partitioned by preference."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # said on every command otherwise; the version is pinned
        return _preference_files(preferences)


def _preference_files(preferences: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.observable_source_asset(
        name="preference_file", partitions_def=preferences, group_name="results",
        description="`<preference>.yaml`. Observe it after an edit: what was scored with the old text is then stale. "
        "A run that scores observes the file that it reads by itself.",
    )  # fmt: skip
    def preference_file(settings: EvaluationSettings) -> dg.DataVersionsByPartition:
        folder = settings.read().preference_folder()
        files = {key: _file(folder, key) for key in preferences.get_partition_keys()}
        return dg.DataVersionsByPartition(
            {key: preference_file_version(path) for key, path in files.items() if path.is_file()}
        )

    return preference_file  # type: ignore[return-value]


class ObservingRunFolder(RunFolder):
    """A run folder whose run also records the version of the preference file that it scores with.

    Without it, results made before the first observation would look stale at the first one.
    """

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        super().setup_for_execution(context)
        preference = context.run.tags.get("dagster/partition") if context.run else None
        settings: Any = self.settings
        if preference is not None and context.instance is not None and self._planned & _SCORED:
            observe(context.instance, settings.read().preference_folder(), preference)


def observe(instance: dg.DagsterInstance, folder: Path, preference: str) -> None:
    """Record the version of a preference file, where it is another than the one recorded last."""
    path = _file(folder, preference)
    if not path.is_file():
        return  # loading it says what is wrong, and where
    version = preference_file_version(path)
    record = instance.get_latest_data_version_record(PREFERENCE_FILE, is_source=True, partition_key=preference)
    known = extract_data_version_from_entry(record.event_log_entry) if record is not None else None
    if known is None or known.value != version:
        tags = {DATA_VERSION_TAG: version}
        observation = dg.AssetObservation(asset_key=PREFERENCE_FILE, partition=preference, tags=tags)
        instance.report_runless_asset_event(observation)


def _file(folder: Path, preference: str) -> Path:
    return folder / f"{preference}.yaml"

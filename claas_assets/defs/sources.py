"""Preference files as sources of the graph: an edited file makes what was scored with it stale.

Training froze the text of the file in `metadata.json`, so only scoring is downstream.
"""

import warnings
from pathlib import Path

import dagster as dg

from claas_assets.defs.run_folder import PARTITION_TAG, CurrentRunFolder
from claas_assets.defs.settings import EvaluationSettings
from claas_assets.evaluation.preferences.sequence import files_of
from claas_assets.evaluation.verdict.versions import preference_file_version

PREFERENCE_FILE = dg.AssetKey("preference_file")
DATA_VERSION_TAG = "dagster/data_version"


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
        folder = settings.preference_folder()
        files = {key: files_of(key, folder) for key in preferences.get_partition_keys()}
        return dg.DataVersionsByPartition(
            {key: preference_file_version(paths) for key, paths in files.items() if paths}
        )

    return preference_file  # type: ignore[return-value]


class ObservingRunFolder(CurrentRunFolder):
    """A run folder whose run also records the version of the preference file that it scores with.

    Without it, results made before the first observation would look stale at the first one.
    """

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        super().setup_for_execution(context)
        preference = context.run.tags.get(PARTITION_TAG) if context.run else None
        if preference is not None and context.instance is not None and "scores" in self._planned:
            observe(context.instance, self.config().preference_folder(), preference)


def observe(instance: dg.DagsterInstance, folder: Path, preference: str) -> None:
    """Record the version of a preference file, where it is another than the one recorded last."""
    paths = files_of(preference, folder)
    if not paths:
        return  # loading it says what is wrong, and where
    version = preference_file_version(paths)
    of_partition = dg.AssetRecordsFilter(asset_key=PREFERENCE_FILE, asset_partitions=[preference])
    latest = instance.fetch_observations(of_partition, limit=1).records
    observed = latest[0].event_log_entry.asset_observation if latest else None
    if observed is None or observed.tags.get(DATA_VERSION_TAG) != version:
        tags = {DATA_VERSION_TAG: version}
        observation = dg.AssetObservation(asset_key=PREFERENCE_FILE, partition=preference, tags=tags)
        instance.report_runless_asset_event(observation)

"""One partition per preference file: a file added to the folder is a new partition after a reload."""

import dagster as dg

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences.preference import preference_names


def preference_partitions(config: EvalConfig) -> dg.StaticPartitionsDefinition:
    """The names of all preference files, broken ones too: those fail their own partition."""
    return dg.StaticPartitionsDefinition(preference_names(config.preference_folder()))

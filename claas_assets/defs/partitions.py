"""One partition per file of a preference or sequence: a file added to the folder is a new partition after a reload."""

import dagster as dg

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences.preference import partition_names


def preference_partitions(config: EvalConfig) -> dg.StaticPartitionsDefinition:
    """The names of all files, of preferences and of sequences, broken ones too: those fail their own partition."""
    return dg.StaticPartitionsDefinition(partition_names(config.preference_folder()))

"""When results are made again by themselves (Dagster's automation sensor is off until it is switched on).

No condition here trains: only assets below `training_steps` have one. A run that makes an asset makes its
results too, and so an update by that run asks for nothing further. An evaluation that is tagged
`claas/eval_run` gets its summary from whoever started it, and so asks for nothing here either.
"""

from typing import Any

import dagster as dg
from dagster import AutomationCondition as When

from claas_assets.defs.run_folder import RUN_TAG


def _own_evaluation() -> Any:
    return When.executed_with_root_target() | When.executed_with_tags(tag_keys={RUN_TAG})


def when_inputs_change() -> When:
    """For what has one input: once that is another one, or is about to be made again."""
    updated: Any = When.any_deps_match((When.newly_updated() & ~_own_evaluation()) | When.will_be_requested())
    return When.eager().replace("any_deps_updated", updated.with_label("any_deps_updated"))


def when_preference_file_changes_too() -> When:
    """For the scores: new steps, or an edited preference file. A file that nobody has observed yet is not missing."""
    observed = When.any_deps_missing().ignore(dg.AssetSelection.assets("preference_file"))
    return When.eager().replace("any_deps_missing", observed.with_label("any_deps_missing"))


def when_verdicts_change() -> When:
    """For the summary: once, when no verdict is being made any more.

    It does not join the run that makes a verdict, as `when_inputs_change` would: with several preferences it
    would be made after each of them. A preference without a verdict does not hold it up: it is `unfinished`.
    """
    updated: Any = When.any_deps_match(When.newly_updated() & ~_own_evaluation())
    without_waiting: Any = When.eager().replace("any_deps_updated", updated.with_label("any_deps_updated"))
    condition: When = without_waiting.without(~When.any_deps_missing())
    return condition

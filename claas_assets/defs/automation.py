"""When results are made again by themselves (Dagster's automation sensor is off until switched on).

Nothing here trains: only what is below `training_steps` has a condition. An evaluation makes its own
results, so an update by a run that makes the result too is none; nor is one of an evaluation that is
tagged `claas/eval_run`, whose summary its starter sees to.
"""

from typing import Any

import dagster as dg
from dagster import AutomationCondition as When

from claas_assets.defs.run_folder import RUN_TAG

_NOT_WATCHED = dg.AssetSelection.assets("adapter", "baseline")
_NOT_JUDGING = dg.AssetSelection.assets("adapter", "baseline", "training_steps", "metric_table")


def when_steps_or_preference_change() -> When:
    """For what is made of one preference: new steps, or an edited preference file.

    `adapter` and `baseline` are not watched: without new steps there is nothing new to judge. A preference
    file that nobody has observed is there all the same.
    """
    unobserved_is_fine = When.any_deps_missing().ignore(_NOT_WATCHED | dg.AssetSelection.assets("preference_file"))
    return (
        When.eager().ignore(_NOT_WATCHED).replace("any_deps_missing", unobserved_is_fine.with_label("any_deps_missing"))
    )


def when_verdicts_change() -> When:
    """For what is made of all preferences of a run: once, when no verdict is being made any more.

    Only verdicts are watched: at new steps the summary would be made beside its verdict, and then again.
    A preference without a verdict does not hold it up: it is `unfinished` in the summary.
    """
    own_evaluation = When.executed_with_root_target() | When.executed_with_tags(tag_keys={RUN_TAG})
    updated = When.any_deps_match(When.newly_updated() & ~own_evaluation)
    without_waiting: Any = When.eager().replace("any_deps_updated", updated.with_label("any_deps_updated"))
    condition: When = without_waiting.without(~When.any_deps_missing()).ignore(_NOT_JUDGING)
    return condition

"""Evaluations that are started by themselves: what all of their runs share, and the nightly one."""

import os
from collections.abc import Sequence
from datetime import UTC

import dagster as dg

from claas_assets.defs.jobs import evaluate
from claas_assets.defs.run_folder import RUN_TAG
from claas_assets.defs.settings import run_config_for
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.names import check_run_id, run_id_at

STARTER_TAG = "claas/started_by"
PREFERENCES_TAG = "claas/preferences"
STARTERS = ("nightly", "new_deployment")
CRON_VARIABLE = "CLAAS_NIGHTLY_CRON"


def evaluation_requests(
    config: EvalConfig, preferences: Sequence[str], starter: str, run_id: str, *, run_key: str, **tags: str
) -> list[dg.RunRequest]:
    """One run of `evaluate` a preference, all into the run folder `run_id`. `run_key` is the same when asked again."""
    shared = {RUN_TAG: check_run_id(run_id), STARTER_TAG: starter, PREFERENCES_TAG: ",".join(preferences), **tags}
    return [
        dg.RunRequest(
            run_key=f"{run_key}/{preference}",
            job_name=evaluate.name,
            partition_key=preference,
            tags=shared,
            run_config=run_config_for(config),
        )
        for preference in preferences
    ]


def nightly_schedule(config: EvalConfig, preferences: dg.PartitionsDefinition) -> dg.ScheduleDefinition:
    """`nightly`, at 02:00 UTC unless `CLAAS_NIGHTLY_CRON` says otherwise. Off until switched on."""

    @dg.schedule(
        name="nightly", job=evaluate, cron_schedule=os.environ.get(CRON_VARIABLE) or "0 2 * * *",
        execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Evaluates every preference, one run each, into one run folder. Switch on the sensor "
        f"finish_evaluation too: it writes the summary once all have ended. {CRON_VARIABLE} sets another time (UTC).",
    )  # fmt: skip
    def nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        when = context.scheduled_execution_time.astimezone(UTC)
        run_id = f"{run_id_at(when)}-nightly"
        keys = preferences.get_partition_keys()
        return evaluation_requests(config, keys, "nightly", run_id, run_key=run_id)

    return nightly

"""Sensors, all off until switched on: a new deployment is evaluated, an evaluation that was started by itself
gets its summary, and bad verdicts and failed runs are told."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from claas_assets.defs.failures import words_of
from claas_assets.defs.jobs import evaluate, publish, summarize
from claas_assets.defs.metadata import how_to_view
from claas_assets.defs.run_folder import PARTITION_TAG, RUN_TAG, planned_assets
from claas_assets.defs.schedules import PREFERENCES_TAG, STARTER_TAG, STARTERS, evaluation_requests
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.deployment.watch import Watch, read_fingerprint
from claas_assets.evaluation.errors import ConfigError, DeploymentError
from claas_assets.evaluation.storage.names import new_run_id
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.verdict.alerts import WEBHOOK_VARIABLE, call_webhook, is_bad

URL_VARIABLE = "CLAAS_WATCH_URL"
INTERVAL_VARIABLE = "CLAAS_WATCH_SECONDS"
_FINISHING_WINDOW = timedelta(days=2)
_OFF = dg.DefaultSensorStatus.STOPPED
_AT_ONCE = 100  # verdicts told in one tick


def evaluation_sensors(config: EvalConfig, preferences: dg.PartitionsDefinition) -> list[dg.SensorDefinition]:
    return [
        new_deployment_sensor(config, preferences),
        finish_evaluation_sensor(config),
        bad_verdict_sensor(config),
        failed_evaluation,
    ]


def watch_interval_s() -> int:
    """Seconds between two looks, from the environment; 60 where it says nothing."""
    text = os.environ.get(INTERVAL_VARIABLE) or "60"
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{INTERVAL_VARIABLE} is {text!r}: a whole number of seconds, at least 1, is expected")
    return int(text)


def watched_config(config: EvalConfig) -> EvalConfig:
    """`config` with the address to watch, which the evaluations go to as well. Raises `ConfigError`."""
    url = os.environ.get(URL_VARIABLE)
    return load_config({**config.model_dump(mode="json"), "claas_url": url}) if url else config


def new_deployment_sensor(config: EvalConfig, preferences: dg.PartitionsDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_deployment", job=evaluate, minimum_interval_seconds=watch_interval_s(), default_status=_OFF,
        description="Looks at claas_url and evaluates every preference when another deployment answers there: another "
        "version, other base models, or another deployment id, in two looks in a row. A restarted deployment is the "
        "same one; one that went back to an older version is another. The first deployment that it ever sees is "
        "evaluated too. Switch on finish_evaluation as well: it writes the summary. "
        f"{URL_VARIABLE} sets another address, {INTERVAL_VARIABLE} the seconds between looks.",
    )  # fmt: skip
    def new_deployment(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        watched = watched_config(config)
        url = watched.claas_url
        if url is None:
            return dg.SkipReason(
                "claas_url is null: the embedded stack is started by an evaluation itself, so there is no deployment "
                f"to watch. Set claas_url in the configuration, or {URL_VARIABLE}"
            )
        try:
            fingerprint = read_fingerprint(watched, url)
        except DeploymentError as error:
            return dg.SkipReason(f"nothing was learned about {url}: {error}")
        watch, fire = Watch.parse(context.cursor).look(fingerprint, new_run_id())
        cursor = watch.model_dump_json()
        if not fire:
            known = "evaluated already" if watch.candidate is None else "seen once; evaluated if the next look agrees"
            return dg.SensorResult(skip_reason=f"deployment {fingerprint} at {url}: {known}", cursor=cursor)
        run_id = f"{watch.first_seen}-deployment"
        requests = evaluation_requests(
            watched, preferences.get_partition_keys(),
            "new_deployment", run_id, run_key=f"{fingerprint}/{watch.generation}/{run_id}",
            **{"claas/deployment": fingerprint},
        )  # fmt: skip
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return new_deployment


def finish_evaluation_sensor(config: EvalConfig) -> dg.SensorDefinition:
    """Asks for the report of each evaluation that a schedule or sensor started, once all of its runs have ended."""
    job = publish if config.plots else summarize

    @dg.sensor(
        name="finish_evaluation", job=job, minimum_interval_seconds=30, default_status=_OFF,
        description="Writes the summary (and the plots) of an evaluation that the nightly schedule or new_deployment "
        "started, once every preference has ended, however it ended. After a re-execution it does so again.",
    )  # fmt: skip
    def finish_evaluation(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        recent = context.instance.get_runs(
            dg.RunsFilter(
                job_name=evaluate.name,
                tags={STARTER_TAG: list(STARTERS)},
                updated_after=datetime.now(UTC) - _FINISHING_WINDOW,
            )
        )
        names = sorted({run.tags[RUN_TAG] for run in recent})
        requests = [
            dg.RunRequest(run_key=f"{name}/{ended}", job_name=job.name, tags={RUN_TAG: name})
            for name in names
            if (ended := _how_it_ended(context.instance, name)) and _has_adapter(config, name)
        ]
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no evaluation has ended")

    return finish_evaluation


def _how_it_ended(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """A digest of the Dagster runs of an evaluation, or None while one is missing or has not ended."""
    runs = instance.get_runs(dg.RunsFilter(job_name=evaluate.name, tags={RUN_TAG: run_id}))
    asked = {name for run in runs for name in run.tags.get(PREFERENCES_TAG, "").split(",") if name}
    there = {run.tags.get(PARTITION_TAG) for run in runs}
    if not asked <= there or not all(run.is_finished for run in runs):
        return None
    return hashlib.sha256(",".join(sorted(run.run_id for run in runs)).encode()).hexdigest()[:12]


def _has_adapter(config: EvalConfig, run_id: str) -> bool:
    """Where no preference came as far as an adapter, there is nothing to summarize."""
    return bool(RunFolder(config.results_dir / run_id).preferences())


def bad_verdict_sensor(config: EvalConfig) -> dg.SensorDefinition:
    @dg.sensor(
        name="bad_verdict", minimum_interval_seconds=30, default_status=_OFF,
        description="Tells of each new verdict that is bad: `fail`, or what fail_on names and worse; runs of the "
        f"command line too. It logs what to do, and calls the webhook whose address is in {WEBHOOK_VARIABLE}. "
        "It begins with the verdicts made after it was switched on.",
    )  # fmt: skip
    def bad_verdict(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        verdicts = dg.AssetKey("verdict")
        if context.cursor is None:
            latest = context.instance.fetch_materializations(verdicts, limit=1).records
            return dg.SensorResult(skip_reason="begins here", cursor=str(latest[0].storage_id if latest else 0))
        wanted = dg.AssetRecordsFilter(asset_key=verdicts, after_storage_id=int(context.cursor))
        records = context.instance.fetch_materializations(wanted, limit=_AT_ONCE, ascending=True).records
        bad = [message for record in records if (message := _bad_news(record, config)) is not None]
        for message in bad:
            _tell(context, message)
        cursor = str(records[-1].storage_id) if records else context.cursor
        return dg.SensorResult(skip_reason=f"{len(records)} new verdicts, {len(bad)} bad", cursor=cursor)

    return bad_verdict


def _bad_news(record: dg.EventLogRecord, config: EvalConfig) -> dict[str, str | None] | None:
    made = record.asset_materialization
    assert made is not None
    shown = {
        name: str(value.value) for name, value in made.metadata.items() if name in ("overall", "sentence", "run_id")
    }
    if not is_bad(shown.get("overall", ""), config.fail_on):
        return None
    run_id = str(shown.get("run_id"))
    return {
        "event": "bad_verdict", "preference": made.partition, "run_id": run_id, "overall": shown["overall"],
        "sentence": shown.get("sentence"),
        "what_to_do": f"look at the answers ({how_to_view(config.results_dir, run_id)}); keep this "
        "adapter out of use until they are understood",
    }  # fmt: skip


@dg.run_failure_sensor(
    name="failed_evaluation", minimum_interval_seconds=30, default_status=_OFF, monitor_all_code_locations=True,
    description="Tells of each failed run that makes assets of an evaluation; runs of the command line too. It "
    f"logs how to go on, and calls the webhook whose address is in {WEBHOOK_VARIABLE}.",
)  # fmt: skip
def failed_evaluation(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    run = context.dagster_run
    if run.status is dg.DagsterRunStatus.CANCELED:  # Dagster records a step that Ctrl-C ended as a failure first
        return dg.SkipReason(f"run {run.run_id} was stopped")
    assets = planned_assets(context.instance, run)
    if not assets:
        return dg.SkipReason(f"run {run.run_id} makes no asset of an evaluation")
    message = {
        "event": "failed_evaluation", "preference": run.tags.get(PARTITION_TAG),
        "run_id": run.tags.get(RUN_TAG), "dagster_run": run.run_id, "assets": ", ".join(sorted(assets)),
        "error": _words(context) or context.failure_event.message,
        "what_to_do": "mend the cause, then re-execute the run from failure (it goes on in the same run folder); for a "
        "run of the command line, give the same command with the same output_dir",
    }  # fmt: skip
    _tell(context, message)
    return None


def _words(context: dg.RunFailureSensorContext) -> str | None:
    failures = context.get_step_failure_events()
    error = failures[0].step_failure_data.error if failures else None
    return words_of(error) if error is not None else None


def _tell(context: dg.SensorEvaluationContext | dg.RunFailureSensorContext, message: dict[str, str | None]) -> None:
    said: Sequence[str] = [f"{name}: {value}" for name, value in message.items() if value]
    context.log.warning("; ".join(said))
    problem = call_webhook(message)
    if problem is not None:
        context.log.error(problem)

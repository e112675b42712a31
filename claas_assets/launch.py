"""A configuration → Dagster runs on the user's instance. The command line and `run_harness` meet here."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.errors import ConfigError, IncompleteEvaluation
from claas_assets.evaluation.preferences import load_preference
from claas_assets.evaluation.progress import Event, Reporter, listening, silent
from claas_assets.evaluation.records import Summary
from claas_assets.evaluation.run_files import read_summary

if TYPE_CHECKING:
    import dagster as dg

HOME_VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = Path("data") / "dagster_home"
_INTERRUPTED = "DagsterExecutionInterruptedError"
DEFAULT_SETTINGS = "telemetry:\n  enabled: false\n"


async def run_harness(config: EvalConfig) -> Summary:
    """Evaluate `config` and return the summary: `{preference: VerdictRecord}`.

    Dagster runs in one thread of its own. Raises an `EvaluationError`; what finished is in the run folder.
    """
    return await asyncio.to_thread(evaluate, config)


def evaluate(config: EvalConfig, listener: Reporter = silent) -> Summary:
    """Evaluate each preference in turn, then write the summary and the plots.

    A preference that fails leaves the others whole: it is reported as `IncompleteEvaluation` at the end.
    The same `output_dir` again resumes. Raises `ConfigError` and `PreferenceError` before anything is sent.
    """
    check_before_sending(config)
    instance = open_instance(listener)
    with listening(listener):
        asyncio.run(_preflight(config, lambda text: listener(Event("", "deployment", text))))
        failures = _run_all(config, instance)
    if failures:
        raise IncompleteEvaluation(_how_to_go_on(config, failures))
    return read_summary(Path(config.output_dir))


def rescore(config: EvalConfig, listener: Reporter = silent) -> Summary:
    """Tables, verdicts, summary and plots of the run folder `config.output_dir`, from its files alone.

    Raises `PreferenceError`, `RunFolderError`, and `IncompleteEvaluation` naming what could not be scored.
    """
    for name in config.preferences:
        load_preference(name, config.preference_folder())
    instance = open_instance(listener)
    with listening(listener):
        failures = _run_all(config, instance, job="rescore")
    if failures:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
        raise IncompleteEvaluation(f"not scored again:\n{reasons}")
    return read_summary(Path(config.output_dir))


def check_before_sending(config: EvalConfig) -> None:
    """Everything that can be wrong with a configuration and be seen without a deployment."""
    for name in config.preferences:
        load_preference(name, config.preference_folder())
    gateway_token(config)


def open_instance(listener: Reporter = silent) -> dg.DagsterInstance:
    """The instance of `DAGSTER_HOME`; where that is not set, of `./data/dagster_home`, and it is said."""
    named = os.environ.get(HOME_VARIABLE)
    if not named:
        home = DEFAULT_HOME.resolve()
        home.mkdir(parents=True, exist_ok=True)
        settings = home / "dagster.yaml"
        if not settings.exists():
            settings.write_text(DEFAULT_SETTINGS, encoding="utf-8")
        os.environ[HOME_VARIABLE] = str(home)
        note = f"{HOME_VARIABLE} is not set: using {home}. `export {HOME_VARIABLE}={home}` shows it in dagster dev"
        listener(Event("", "note", note))
    elif not Path(named).is_absolute():
        raise ConfigError(f"{HOME_VARIABLE} is {named!r}, which is relative: Dagster needs an absolute path")
    elif not Path(named).is_dir():
        raise ConfigError(f"{HOME_VARIABLE} is {named!r}, which is not a folder: create it (mkdir -p), or unset it")
    import dagster as dg

    return dg.DagsterInstance.get()


async def _preflight(config: EvalConfig, say: Callable[[str], None]) -> None:
    """Fail before any run is made when the deployment does not answer."""
    from claas_assets.defs.resources import find_or_start
    from claas_assets.evaluation.client import ClaasClient, RetryBudget
    from claas_assets.evaluation.routes import routes_for

    url = find_or_start(config, say)
    routes = routes_for(config, url, gateway_token(config))
    if routes.gateway_caution:
        say(routes.gateway_caution)
    async with ClaasClient(routes, retry=RetryBudget(attempts=2)) as client:
        deployment = await client.describe()
    say(f"{deployment.name or 'a CLaaS'} {deployment.version or 'of unknown version'} at {url}")


def _run_all(config: EvalConfig, instance: dg.DagsterInstance, job: str = "evaluate") -> dict[str, str]:
    """Run `job` for every preference, then the report; what failed, by preference, with the reason."""
    from claas_assets.definitions import build_definitions

    logging.getLogger("dagster").setLevel(logging.ERROR)
    defs = build_definitions(config)
    failures = {}
    for preference in config.preferences:
        reason = _run_job(defs, job, config, instance, preference)
        if reason is not None:
            failures[preference] = reason
    if len(failures) < len(config.preferences) or _has_adapter(config):
        reason = _run_job(defs, "report" if config.plots else "summarize", config, instance, None)
        if reason is not None:
            failures["summary"] = reason
    return failures


def _run_job(
    defs: dg.Definitions, job: str, config: EvalConfig, instance: dg.DagsterInstance, partition: str | None
) -> str | None:
    """Run a job in this process; None, or why it failed."""
    from claas_assets.defs.run_folder import RUN_TAG
    from claas_assets.defs.settings import run_config_for

    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=partition,
        tags={RUN_TAG: config.run_id},
        run_config={**run_config_for(config), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    return None if result.success else _reason(result)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The innermost message of the first failed step: what our own errors say."""
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        if event.is_failure and error is not None:
            while error.cause is not None and error.cls_name != _INTERRUPTED:
                error = error.cause
            if error.cls_name == _INTERRUPTED:
                raise KeyboardInterrupt  # Dagster has recorded the stop; the other preferences must not start
            return str(error.message).strip().removeprefix(f"{error.cls_name}: ")
    return "the run failed; see it in dagster dev"


def _has_adapter(config: EvalConfig) -> bool:
    return any(Path(config.output_dir).glob("*/metadata.json"))


def _how_to_go_on(config: EvalConfig, failures: dict[str, str]) -> str:
    reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
    return (
        f"not finished:\n{reasons}\nWhat finished is in {config.output_dir}. Once the cause is mended, the same "
        f"command with output_dir={config.output_dir} goes on there and writes the summary"
    )


def exit_code_of(summary: Summary, config: EvalConfig) -> int:
    """0, or 3 where `fail_on` names a verdict of this summary or a milder one (fail < marginal < inconclusive)."""
    if config.fail_on is None:
        return 0
    bad: dict[str, set[Any]] = {
        "fail": {"fail"},
        "marginal": {"fail", "marginal"},
        "inconclusive": {"fail", "marginal", "inconclusive", "unfinished"},
    }
    return 3 if any(entry.overall in bad[config.fail_on] for entry in summary.values()) else 0

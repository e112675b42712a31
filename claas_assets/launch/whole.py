"""A whole evaluation, or scoring again, as Dagster runs of this process and of those that it is told to start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import dagster as dg

from claas_assets.defs.graph import build_definitions
from claas_assets.defs.resources import find_or_start
from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.deployment.transport import RetryBudget
from claas_assets.evaluation.progress import Event, Reporter, listening
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.launch.dagster_runs import Launch, bury_dead_runs, run_job, storage_in_words

RunPreferences = Callable[[Launch, str, Reporter], dict[str, str]]
"""(launch, job, listener) → what failed, by preference, with the reason."""


def run_all(config: EvalConfig, job: str, listener: Reporter, run_preferences: RunPreferences) -> dict[str, str]:
    """`job` (evaluate or rescore) for every preference, then the summary and the pictures; what failed, and why.

    Raises a `DeploymentError` before any run is made where the deployment does not answer.
    """
    with storage_in_words():
        instance = dg.DagsterInstance.get()
    with instance:
        with storage_in_words():
            dead = bury_dead_runs(instance)
        for run_id in dead:
            listener(Event("", "note", f"Dagster run {run_id} was killed without saying so; it is marked as failed"))
        if job == "evaluate":
            asyncio.run(_preflight(config, lambda text: listener(Event("", "deployment", text))))
        launch = Launch(config, instance, build_definitions(config))
        failures = run_preferences(launch, job, listener)
        if len(failures) < len(config.preferences) or RunFolder(config.run_folder).preferences():
            with listening(listener):
                failures |= _publish(launch, listener)
    return failures


def one_after_the_other(launch: Launch, job: str, listener: Reporter) -> dict[str, str]:
    with listening(listener):
        reasons = {name: run_job(launch, job, name) for name in launch.config.preferences}
    return {name: reason for name, reason in reasons.items() if reason is not None}


async def _preflight(config: EvalConfig, say: Callable[[str], None]) -> None:
    """Fail before any run is made when the deployment does not answer."""
    url = find_or_start(config, say)
    routes = routes_for(config, url, gateway_token(config))
    async with ClaasClient(routes, retry=RetryBudget(attempts=2)) as client:
        deployment = await client.describe()
        proof = await prove_gateway(client, None, allow_unproven=config.allow_unproven_gateway)
    if proof is not None:
        say(f"gateway {proof.url}: {proof.said}")
    say(f"{deployment.name or 'a CLaaS'} {deployment.version or 'of unknown version'} at {url}")


def _publish(launch: Launch, listener: Reporter) -> dict[str, str]:
    """The summary, the plots and the report; why there is no summary, if so."""
    plots = launch.config.plots
    reason = run_job(launch, "publish" if plots else "summarize", None)
    if reason is not None and plots and run_job(launch, "summarize", None) is None:
        listener(Event("", "note", f"no plots, no report: {reason}. `claas-eval rescore` makes them, once mended"))
        return {}
    return {} if reason is None else {"summary": reason}

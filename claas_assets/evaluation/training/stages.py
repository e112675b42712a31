"""The stages of an evaluation above scoring, as plain functions: what the assets call.

Each opens its own session on the deployment and holds the locks that it needs; each goes on with what
the folder already holds rather than doing it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.locks import deployment_lock
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.progress import Event, Reporter
from claas_assets.evaluation.storage.journal import Journal
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot
from claas_assets.evaluation.storage.run_files import read_asset, write_asset
from claas_assets.evaluation.storage.stores import Place, exists
from claas_assets.evaluation.training.adapter import check_frozen, create_adapter
from claas_assets.evaluation.training.loop import train
from claas_assets.evaluation.training.session import Session
from claas_assets.evaluation.training.snapshot import measure_baseline


@dataclass(frozen=True)
class Stage:
    """One preference in one run folder. `claas_url` is the deployment's resolved address."""

    config: EvalConfig
    preference: Preference
    claas_url: str
    folder: Place
    report: Reporter

    @property
    def run_id(self) -> str:
        return self.folder.parent.name

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        routes = routes_for(self.config, self.claas_url, gateway_token(self.config))
        with deployment_lock(self.claas_url) if routes.one_sampler else contextlib.nullcontext():
            async with ClaasClient(
                routes,
                max_concurrency=self.config.max_concurrency,
                deployment_timeout_s=self.config.deployment_timeout_s,
                say=lambda text: self.report(Event(self.preference.name, "note", text)),
            ) as client:
                yield Session(client=client, config=self.config, preference=self.preference, report=self.report)


def ensure_adapter(stage: Stage, *, resuming: bool) -> AdapterRecord:
    """The folder's adapter, or a fresh one. `resuming`: this run trains too, so `num_steps` may grow."""
    if not _has(stage, "metadata.json"):
        with open_journal(stage.folder).lock():  # of two evaluations that begin here at once, one makes it
            if not _has(stage, "metadata.json"):
                return asyncio.run(_create(stage))
    found: AdapterRecord = read_asset("adapter", stage.folder / "metadata.json")
    if not resuming:
        return found
    check_frozen(found, stage.config, stage.preference)
    if stage.config.num_steps <= int(found.config["num_steps"]):
        return found
    return found.model_copy(update={"config": {**found.config, "num_steps": stage.config.num_steps}})


def ensure_baseline(stage: Stage, adapter: AdapterRecord, *, resuming: bool) -> EvalSnapshot:
    """Measure the untouched adapter. Refuses where it is no longer untouched, unless resuming."""
    journal = open_journal(stage.folder)
    if _has(stage, "baseline.json") and resuming:
        return _found_baseline(stage)
    with journal.lock():  # nobody trains while the untouched adapter is measured
        if _has(stage, "baseline.json") and resuming:
            return _found_baseline(stage)
        _refuse_trained(stage, adapter, journal)
        return asyncio.run(_baseline(stage, adapter))


def _found_baseline(stage: Stage) -> EvalSnapshot:
    found: EvalSnapshot = read_asset("baseline", stage.folder / "baseline.json")
    return found


def _refuse_trained(stage: Stage, adapter: AdapterRecord, journal: Journal) -> None:
    if journal.read() or journal.intent() is not None:
        raise RunFolderError(
            f"{stage.folder}: the adapter {adapter.lora_id} has been trained here, so its baseline cannot be measured "
            "any more. Materialize adapter and baseline together in a new run folder for a new evaluation"
        )


def run_training(stage: Stage, adapter: AdapterRecord, baseline: EvalSnapshot) -> int:
    """Run the steps that are missing; returns how many were run."""
    check_frozen(adapter, stage.config, stage.preference)
    journal = open_journal(stage.folder)
    with journal.lock():
        run = asyncio.run(_train(stage, adapter, baseline, journal))
        journal.finish()
        return run


async def _create(stage: Stage) -> AdapterRecord:
    async with stage.session() as session:
        record = await create_adapter(session, stage.run_id)
    # At once, not when the asset returns: an adapter that exists must not be forgotten.
    write_asset("adapter", stage.folder / "metadata.json", record)
    return record


async def _baseline(stage: Stage, adapter: AdapterRecord) -> EvalSnapshot:
    async with stage.session() as session:
        snapshot = await measure_baseline(session, adapter)
    write_asset("baseline", stage.folder / "baseline.json", snapshot)  # before another evaluation may begin here
    return snapshot


async def _train(stage: Stage, adapter: AdapterRecord, baseline: EvalSnapshot, journal: Journal) -> int:
    async with stage.session() as session:
        return await train(session, adapter, baseline, journal)


def _has(stage: Stage, file: str) -> bool:
    return exists(stage.folder / file)

"""The three stages that need a deployment, as plain functions that the assets call: adapter, baseline, steps.

Each keeps what the folder already holds rather than doing it again.
"""

from __future__ import annotations

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.journal import Journal
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot
from claas_assets.evaluation.storage.run_files import read_asset, write_asset
from claas_assets.evaluation.storage.stores import exists
from claas_assets.evaluation.training.adapter import check_frozen, create_adapter
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.loop import train
from claas_assets.evaluation.training.snapshot import measure_baseline


def ensure_adapter(context: TrainingContext, *, resuming: bool) -> AdapterRecord:
    """The folder's adapter, or a fresh one. `resuming`: this run trains too, so `num_steps` may grow."""
    path, config = context.folder / "metadata.json", context.config
    if not exists(path):
        with open_journal(context.folder).lock():  # of two evaluations that begin here at once, one makes it
            if not exists(path):
                fresh = context.run(create_adapter(context))
                # At once, not when the asset returns: an adapter that exists must not be forgotten.
                write_asset("adapter", path, fresh)
                return fresh
    adapter: AdapterRecord = read_asset("adapter", path)
    if not resuming:
        return adapter
    check_frozen(adapter, config, context.preference)
    if config.num_steps <= int(adapter.config["num_steps"]):
        return adapter
    return adapter.model_copy(update={"config": {**adapter.config, "num_steps": config.num_steps}})


def ensure_baseline(context: TrainingContext, adapter: AdapterRecord, *, resuming: bool) -> EvalSnapshot:
    """Measure the untouched adapter. Refuses where it is no longer untouched, unless resuming."""
    path, journal = context.folder / "baseline.json", open_journal(context.folder)
    if not (resuming and exists(path)):
        with journal.lock():  # nobody trains while the untouched adapter is measured
            if not (resuming and exists(path)):
                _refuse_trained(journal, adapter)
                snapshot = context.run(measure_baseline(context, adapter))
                write_asset("baseline", path, snapshot)  # before another evaluation may begin here
                return snapshot
    baseline: EvalSnapshot = read_asset("baseline", path)
    return baseline


def _refuse_trained(journal: Journal, adapter: AdapterRecord) -> None:
    if journal.read() or journal.intent() is not None:
        raise RunFolderError(
            f"{journal.folder}: the adapter {adapter.lora_id} has been trained here, so its baseline cannot be "
            "measured any more. Materialize adapter and baseline together in a new run folder for a new evaluation"
        )


def run_training(context: TrainingContext, adapter: AdapterRecord, baseline: EvalSnapshot) -> int:
    """Run the steps that are missing; returns how many were run."""
    check_frozen(adapter, context.config, context.preference)
    journal = open_journal(context.folder)
    with journal.lock():
        steps_run = context.run(train(context, adapter, baseline, journal))
        journal.finish()
        return steps_run

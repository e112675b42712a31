"""The three stages that need a deployment, as plain functions that the assets call: adapter, baseline, steps.

Each keeps what the folder already holds rather than doing it again.
"""

from __future__ import annotations

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.journal import Journal
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot
from claas_assets.evaluation.storage.run_folder import BASELINE_FILE, METADATA_FILE, PreferenceFolder
from claas_assets.evaluation.training.adapter import check_frozen, create_adapter
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.loop import train
from claas_assets.evaluation.training.snapshot import measure_baseline


def ensure_adapter(context: TrainingContext, *, resuming: bool) -> AdapterRecord:
    """The folder's adapter, or a fresh one. `resuming`: this run trains too, so `num_steps` may grow."""
    folder, config = PreferenceFolder(context.folder), context.config
    if not folder.has(METADATA_FILE):
        with open_journal(context.folder).lock():  # of two evaluations that begin here at once, one makes it
            if not folder.has(METADATA_FILE):
                fresh = context.run(create_adapter(context))
                # At once, not when the asset returns: an adapter that exists must not be forgotten.
                folder.write_adapter(fresh)
                return fresh
    adapter = folder.adapter()
    if not resuming:
        return adapter
    check_frozen(adapter, config, context.preference)
    if config.num_steps <= adapter.num_steps:
        return adapter
    return adapter.model_copy(update={"config": {**adapter.config, "num_steps": config.num_steps}})


def ensure_baseline(context: TrainingContext, adapter: AdapterRecord, *, resuming: bool) -> EvalSnapshot:
    """Measure the untouched adapter. Refuses where it is no longer untouched, unless resuming."""
    folder, journal = PreferenceFolder(context.folder), open_journal(context.folder)
    if not (resuming and folder.has(BASELINE_FILE)):
        with journal.lock():  # nobody trains while the untouched adapter is measured
            if not (resuming and folder.has(BASELINE_FILE)):
                _refuse_trained(journal, adapter)
                snapshot = context.run(measure_baseline(context, adapter))
                folder.write_baseline(snapshot)  # before another evaluation may begin here
                return snapshot
    baseline = folder.baseline()
    assert baseline is not None  # it was there a moment ago, and nothing removes it
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

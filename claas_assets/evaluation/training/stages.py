"""The three stages that need a deployment, as plain functions that the assets call: adapter, baseline, steps.

Each keeps what the folder already holds rather than doing it again.
"""

from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.storage.journal import Journal
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot
from claas_assets.evaluation.storage.run_folder import METADATA_FILE, PreferenceFolder
from claas_assets.evaluation.training.adapter import adopt_adapter, check_frozen, create_adapter
from claas_assets.evaluation.training.audit import measure_audited, measure_base
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.cost import cost_of
from claas_assets.evaluation.training.loop import train
from claas_assets.evaluation.training.snapshot import measure_baseline
from claas_assets.evaluation.training.stopping import may_stop


def ensure_adapter(context: TrainingContext, *, resuming: bool) -> AdapterRecord:
    """The folder's adapter, or a fresh one. `resuming`: this run trains too, so `num_steps` may grow."""
    folder, config = PreferenceFolder(context.folder), context.config
    if may_stop(config) and not context.sequence.is_alone:
        raise ConfigError(
            f"{context.sequence.name} is a sequence, which runs to its end: leave out stop_on_harm, stop_when_learned, "
            "max_minutes and max_tokens"
        )
    if not folder.has(METADATA_FILE):
        with open_journal(context.folder).lock():  # of two evaluations that begin here at once, one makes it
            if not folder.has(METADATA_FILE):
                making = create_adapter if config.lora_id is None else adopt_adapter
                fresh = context.run(making(context))
                # At once, not when the asset returns: an adapter that exists must not be forgotten.
                folder.write_adapter(fresh)
                _say_cost(context)
                return fresh
    adapter = folder.adapter()
    if not resuming:
        return adapter
    check_frozen(adapter, config, context.sequence)
    if adapter.sequence is not None:
        return adapter  # `check_frozen` has seen that its phases are what they were
    recorded = len(folder.steps())
    if recorded > config.num_steps:
        raise RunFolderError(
            f"{context.folder}: num_steps is {config.num_steps}, and {recorded} steps are recorded here. What was "
            f"trained cannot be taken back: set num_steps={recorded} or more, or use another output_dir"
        )
    if config.num_steps <= adapter.num_steps:
        return adapter
    return adapter.model_copy(update={"config": {**adapter.config, "num_steps": config.num_steps}})


def ensure_baseline(context: TrainingContext, adapter: AdapterRecord, *, resuming: bool) -> EvalSnapshot:
    """Measure the untouched adapter. Refuses where it is no longer untouched, unless resuming."""
    folder, journal = PreferenceFolder(context.folder), open_journal(context.folder)
    if resuming and (kept := _kept_baseline(folder, journal)):
        return kept
    with journal.lock():  # nobody trains while the untouched adapter is measured
        if resuming and (kept := _kept_baseline(folder, journal)):
            return kept
        if _has_trained(journal):
            raise RunFolderError(
                f"{context.folder}: the adapter {adapter.lora_id} has been trained here, so its baseline cannot be "
                "measured any more. Materialize adapter and baseline together in a new run folder for a new evaluation"
            )
        measuring = measure_baseline(context, adapter) if adapter.audited is None else measure_base(context)
        snapshot = context.run(measuring)
        folder.write_baseline(snapshot)  # before another evaluation may begin here
        _say_time(context, snapshot)
        return snapshot


def _say_cost(context: TrainingContext) -> None:
    """Of a sequence, what it will ask: its snapshots grow with the number of its preferences."""
    sequence, config = context.sequence, context.config
    if not sequence.is_alone:
        cost = cost_of(config, sequence)
        words = f"{sequence.words(config.num_steps)}: {cost.requests:,} requests, {cost.feedback} of them feedback"
        context.say("note", words)


def _say_time(context: TrainingContext, baseline: EvalSnapshot) -> None:
    """Of a sequence, how long the rest will take at the pace of its first snapshot."""
    if context.sequence.is_alone or not baseline.duration_s or not baseline.requests:
        return
    left = cost_of(context.config, context.sequence).requests - baseline.requests
    minutes = left * baseline.duration_s / baseline.requests / 60
    context.say("note", f"{left:,} requests are left: some {minutes:.0f} minutes at this pace, and the updates")


def _kept_baseline(folder: PreferenceFolder, journal: Journal) -> EvalSnapshot | None:
    """The folder's baseline. While nothing was trained, one with probes that failed is measured again."""
    baseline = folder.baseline()
    if baseline is None:
        return None
    errors = [transcript.metadata.error for transcript in baseline.rollouts]
    failed = any(error is not None and error.kind == "failed" for error in errors)
    return None if failed and not _has_trained(journal) else baseline


def _has_trained(journal: Journal) -> bool:
    return journal.intent() is not None or bool(journal.read())


def run_training(context: TrainingContext, adapter: AdapterRecord, baseline: EvalSnapshot) -> int:
    """Run the steps that are missing; returns how many were run."""
    check_frozen(adapter, context.config, context.sequence)
    journal = open_journal(context.folder)
    with journal.lock():
        working = train if adapter.audited is None else measure_audited
        steps_run = context.run(working(context, adapter, baseline, journal))
        journal.finish()
        return steps_run

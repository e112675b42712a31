"""What is made of a run without a deployment: scores, tables, verdicts, the summary, the pictures."""

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.metrics.scoring import rescore
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    CollapseRecord,
    MetricTable,
    ScoresRecord,
    Summary,
    TrainingRecord,
    VerdictRecord,
    current,
)
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from claas_assets.evaluation.verdict.metric_table import collapse_series, metric_rows


def score(training: TrainingRecord, sequence: PreferenceSequence) -> ScoresRecord:
    """Every state scored afresh from its transcripts, by today's metrics and these preference files.

    Everything below is made of these scores, so that no table or picture contradicts its verdict.
    """
    adapter = training.adapter
    if adapter.imported:
        raise RunFolderError(f"run {adapter.run_id} was imported from the public harness: it cannot be scored again")
    if training.baseline is None:
        raise RunFolderError(f"{adapter.preference} of run {adapter.run_id} has no baseline: materialize it first")
    preferences = _trained_preferences(adapter, sequence)
    return ScoresRecord.of(adapter, *rescore(training.baseline, training.steps, preferences, adapter.metrics))


def _trained_preferences(adapter: AdapterRecord, sequence: PreferenceSequence) -> dict[str, Preference]:
    """Today's files of the preferences that were trained. Raises where the sequence does not name one any more."""
    names = [adapter.preference] if adapter.sequence is None else adapter.sequence.preferences
    gone = [name for name in names if name not in sequence.preferences]
    if gone:
        raise RunFolderError(
            f"run {adapter.run_id} of {adapter.preference} trained {', '.join(gone)}, and the file of "
            f"{sequence.name} has {', '.join(sequence.preferences)} now: put it back to score the run again"
        )
    return {name: sequence.preferences[name] for name in names}


def metric_table(scores: ScoresRecord) -> MetricTable:
    """Every number of every state."""
    assert scores.baseline is not None  # `score` refuses to make scores without one
    rows = metric_rows(scores.run_id, scores.preference, scores.baseline, scores.steps)
    return MetricTable(run_id=scores.run_id, preference=scores.preference, rows=rows)


def collapse_record(scores: ScoresRecord) -> CollapseRecord:
    """The collapse series and its alerts."""
    assert scores.baseline is not None
    return collapse_series(scores.run_id, scores.preference, scores.baseline, scores.steps)


def verdict_now(folder: PreferenceFolder) -> VerdictRecord:
    """The verdict on the steps that are recorded now; an `unfinished` one where nothing has judged them yet."""
    recorded = folder.steps_recorded()
    return current(folder.verdict(), recorded) or unfinished(folder.adapter(), recorded)


def unfinished(adapter: AdapterRecord, recorded: int) -> VerdictRecord:
    """The entry of a preference whose evaluation did not come to a verdict."""
    return VerdictRecord(
        preference=adapter.preference,
        lora_id=adapter.lora_id,
        run_id=adapter.run_id,
        logprob_margin_delta=None,
        final_compliance=None,
        capability_ratio=None,
        overall="unfinished",
        sentence=f"unfinished: {recorded} of {adapter.num_steps} steps recorded and no verdict for them; run again "
        "with the same output_dir to go on",
        criteria={},
        steps_recorded=recorded,
        num_steps=adapter.num_steps,
    )


def plots(run: RunFolder) -> dict[str, bytes]:
    """File name → PNG, of the preferences in the summary that have scores."""
    from claas_assets.evaluation.figures import draw  # matplotlib: 0.5 s, and only for the plots

    summary: Summary = run.summary()
    scores = {name: scored for name in summary if (scored := run.preference(name).scores()) is not None}
    given = {name: entry for name, entry in summary.items() if entry.criteria or entry.overall != "unfinished"}
    return draw(scores, given)

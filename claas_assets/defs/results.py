"""What is made from files alone: no asset here sends a request to a deployment."""

import dagster as dg

from claas_assets.defs import metadata
from claas_assets.defs.automation import when_inputs_change, when_preference_file_changes_too, when_verdicts_change
from claas_assets.defs.io_managers import BY_PARTITION
from claas_assets.defs.run_folder import CurrentRunFolder
from claas_assets.defs.sources import PREFERENCE_FILE
from claas_assets.defs.training import FILES
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.records import Record, ScoresRecord, TrainingRecord, VerdictRecord
from claas_assets.evaluation.storage.run_folder import RunFolder
from claas_assets.evaluation.storage.stores import on_this_machine
from claas_assets.evaluation.verdict.ruling import judge
from claas_assets.evaluation.verdict.versions import TABLE_VERSION, VERDICT_VERSION, content_version, scoring_version


def result_assets(preferences: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """scores → metric_table, collapse_snapshots, verdict, by preference."""

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"json"},
        deps=[PREFERENCE_FILE], code_version=scoring_version(),
        automation_condition=when_preference_file_changes_too(),
        description="Every state scored once, from its transcripts, by today's metrics and preference file: what all "
        "results are made of.",
    )  # fmt: skip
    def scores(
        context: dg.AssetExecutionContext,
        run_folder: CurrentRunFolder,
        training_steps: TrainingRecord,
    ) -> dg.MaterializeResult:
        sequence = load_sequence(context.partition_key, run_folder.config().preference_folder())
        record = results.score(training_steps, sequence)
        return _result(record, metadata.of_scores(record, run_folder.path))

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"csv"},
        code_version=TABLE_VERSION, automation_condition=when_inputs_change(),
        description="Every number of every state as a tidy table.",
    )  # fmt: skip
    def metric_table(run_folder: CurrentRunFolder, scores: ScoresRecord) -> dg.MaterializeResult:
        table = results.metric_table(scores)
        return _result(table, metadata.of_table(table, scores, run_folder.path))

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"json"},
        code_version=TABLE_VERSION, automation_condition=when_inputs_change(),
        description="Has it degenerated? Entropy, self-ROUGE-L, drift and loops over the steps, with alerts.",
    )  # fmt: skip
    def collapse_snapshots(run_folder: CurrentRunFolder, scores: ScoresRecord) -> dg.MaterializeResult:
        record = results.collapse_record(scores)
        return _result(record, metadata.of_collapse(record, scores, run_folder.path))

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"json"},
        code_version=VERDICT_VERSION, automation_condition=when_inputs_change(),
        description="Criteria, grades, evidence, and the verdict in words. Thresholds are today's.",
    )  # fmt: skip
    def verdict(run_folder: CurrentRunFolder, scores: ScoresRecord) -> dg.MaterializeResult:
        record = judge(scores, run_folder.config().thresholds)
        return _result(record, metadata.of_verdict(record, scores, run_folder.path))

    return [scores, metric_table, collapse_snapshots, verdict]


def _result(record: Record, shown: metadata.Metadata) -> dg.MaterializeResult:
    return dg.MaterializeResult(value=record, metadata=shown, data_version=dg.DataVersion(content_version(record)))


@dg.asset(
    io_manager_key=FILES, group_name="summary", kinds={"json"},
    automation_condition=when_verdicts_change(),
    ins={"verdicts": dg.AssetIn("verdict", partition_mapping=dg.AllPartitionMapping(), metadata=BY_PARTITION)},
    description="The verdicts of all preferences of the run; one that did not finish is `unfinished`, not left out.",
)  # fmt: skip
def summary(run_folder: CurrentRunFolder, verdicts: dict[str, VerdictRecord]) -> dg.MaterializeResult:
    record = dict(sorted(verdicts.items()))
    return dg.MaterializeResult(value=record, metadata=metadata.of_summary(record, run_folder.path))


@dg.asset(
    io_manager_key=FILES, group_name="summary", kinds={"matplotlib"},
    automation_condition=when_inputs_change(),
    description="Margins, learning curves, the collapse dashboard, forgetting, and SDPO diagnostics.",
)  # fmt: skip
def plots(run_folder: CurrentRunFolder, summary: RunFolder) -> dg.MaterializeResult:
    pictures = results.plots(summary)
    return dg.MaterializeResult(value=pictures, metadata=metadata.of_plots(pictures, run_folder.path))


@dg.asset(
    io_manager_key=FILES, group_name="summary", kinds={"html"},
    automation_condition=when_inputs_change(),
    description="The whole run as one HTML file to send: opens from disk, needs no network.",
)  # fmt: skip
def report(run_folder: CurrentRunFolder, summary: RunFolder) -> dg.MaterializeResult:
    from claas_assets.viewer.report import render_report  # templates and matplotlib: only for the report

    with on_this_machine(summary.path) as folder:
        return dg.MaterializeResult(value=render_report(folder), metadata=metadata.of_report(run_folder.path))

"""What is made from files alone: no asset here sends a request to a deployment."""

from typing import Any

import dagster as dg

from claas_assets.defs import metadata
from claas_assets.defs.automation import when_steps_or_preference_change, when_verdicts_change
from claas_assets.defs.io_managers import BY_PARTITION
from claas_assets.defs.run_folder import REPORT_STEP, RunFolder
from claas_assets.defs.settings import EvaluationSettings
from claas_assets.defs.sources import PREFERENCE_FILE
from claas_assets.defs.training import FILES
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, Record, StepsHandle
from claas_assets.evaluation.storage.stores import on_this_machine
from claas_assets.evaluation.verdict.versions import content_version, scoring_version, verdict_version


def result_assets(preferences: dg.PartitionsDefinition, config: EvalConfig) -> list[dg.AssetsDefinition]:
    """metric_table, collapse_snapshots → verdict, partitioned by preference. `config` is for what is stale."""

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"csv"},
        deps=[PREFERENCE_FILE], code_version=scoring_version(), automation_condition=when_steps_or_preference_change(),
        description="Every number of every state as a tidy table, scored afresh from the transcripts.",
    )  # fmt: skip
    def metric_table(
        context: dg.AssetExecutionContext,
        settings: EvaluationSettings,
        run_folder: RunFolder,
        adapter: AdapterRecord,
        baseline: EvalSnapshot,
        training_steps: StepsHandle,
    ) -> dg.MaterializeResult:
        preference = load_preference(context.partition_key, settings.read().preference_folder())
        table = results.metric_table(adapter, baseline, training_steps, preference)
        return _result(table, metadata.of_table(table, run_folder.path))

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"json"},
        deps=[PREFERENCE_FILE], code_version=scoring_version(("collapse",)),
        automation_condition=when_steps_or_preference_change(),
        description="Has it degenerated? Entropy, self-ROUGE-L, drift and loops over the steps, with alerts.",
    )  # fmt: skip
    def collapse_snapshots(
        context: dg.AssetExecutionContext,
        settings: EvaluationSettings,
        run_folder: RunFolder,
        adapter: AdapterRecord,
        baseline: EvalSnapshot,
        training_steps: StepsHandle,
    ) -> dg.MaterializeResult:
        preference = load_preference(context.partition_key, settings.read().preference_folder())
        record = results.collapse_record(adapter, baseline, training_steps, preference)
        return _result(record, metadata.of_collapse(record, run_folder.path))

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="results", kinds={"json"},
        deps=[metric_table, collapse_snapshots, PREFERENCE_FILE], code_version=verdict_version(config.thresholds),
        automation_condition=when_steps_or_preference_change(),
        description="Criteria, grades, evidence, and the verdict in words. Thresholds are today's.",
    )  # fmt: skip
    def verdict(
        context: dg.AssetExecutionContext,
        settings: EvaluationSettings,
        run_folder: RunFolder,
        adapter: AdapterRecord,
        baseline: EvalSnapshot,
        training_steps: StepsHandle,
    ) -> dg.MaterializeResult:
        config = settings.read()
        preference = load_preference(context.partition_key, config.preference_folder())
        record = results.verdict(adapter, baseline, training_steps, preference, config.thresholds)
        return _result(record, metadata.of_verdict(record, run_folder.path))

    return [metric_table, collapse_snapshots, verdict]


def _result(record: Record, shown: metadata.Metadata) -> dg.MaterializeResult:
    return dg.MaterializeResult(value=record, metadata=shown, data_version=dg.DataVersion(content_version(record)))


def _all_of(asset: str) -> dg.AssetIn:
    return dg.AssetIn(key=asset, partition_mapping=dg.AllPartitionMapping(), metadata=BY_PARTITION)


@dg.asset(
    io_manager_key=FILES, group_name="summary", kinds={"json"}, automation_condition=when_verdicts_change(),
    ins={"adapters": _all_of("adapter"), "steps": _all_of("training_steps"), "verdicts": _all_of("verdict")},
    description="The verdicts of all preferences of the run; one that did not finish is `unfinished`, not left out.",
)  # fmt: skip
def summary(
    context: dg.AssetExecutionContext,
    run_folder: RunFolder,
    adapters: dict[str, Any],
    steps: dict[str, Any],
    verdicts: dict[str, Any],
) -> dg.MaterializeResult:
    record = results.summary(adapters, steps, verdicts)
    return dg.MaterializeResult(value=record, metadata=metadata.of_summary(record, run_folder.path))


@dg.asset(
    io_manager_key=FILES, group_name="summary", kinds={"matplotlib"}, automation_condition=when_verdicts_change(),
    ins={
        "adapters": _all_of("adapter"), "baselines": _all_of("baseline"),
        "steps": _all_of("training_steps"), "verdicts": _all_of("verdict"),
    },
    description="Margins, learning curves, the collapse dashboard, forgetting, and SDPO diagnostics.",
)  # fmt: skip
def plots(
    context: dg.AssetExecutionContext,
    settings: EvaluationSettings,
    run_folder: RunFolder,
    adapters: dict[str, Any],
    baselines: dict[str, Any],
    steps: dict[str, Any],
    verdicts: dict[str, Any],
) -> dg.MaterializeResult:
    folder = settings.read().preference_folder()
    preferences = {name: load_preference(name, folder) for name in baselines}
    pictures = results.plots(adapters, baselines, steps, verdicts, preferences)
    return dg.MaterializeResult(value=pictures, metadata=metadata.of_plots(pictures, run_folder.path))


# An op's name must differ from every job's, and there is a job `report`: only a multi_asset has an op name of its own.
@dg.multi_asset(
    name=REPORT_STEP,
    outs={
        "report": dg.AssetOut(
            io_manager_key=FILES, group_name="summary", kinds={"html"}, automation_condition=when_verdicts_change(),
            description="The whole run as one HTML file to send: opens from disk, needs no network.",
        )
    },
    deps=[summary],
)  # fmt: skip
def report(context: dg.AssetExecutionContext, run_folder: RunFolder) -> dg.MaterializeResult:
    from claas_assets.viewer.report import render_report  # templates and matplotlib: only for the report

    with on_this_machine(run_folder.path) as folder:
        return dg.MaterializeResult(value=render_report(folder), metadata=metadata.of_report(run_folder.path))

"""What costs: the adapter, its baseline, and the feedback steps."""

import dagster as dg

from claas_assets.defs import metadata
from claas_assets.defs.resources import Deployment
from claas_assets.defs.run_folder import CurrentRunFolder
from claas_assets.evaluation.storage.records import AdapterRecord, TrainingRecord
from claas_assets.evaluation.training.stages import ensure_adapter, ensure_baseline, run_training
from claas_assets.evaluation.verdict.versions import TRAINING_VERSION, adapter_data, baseline_data, steps_data

FILES = "run_folder_files"


def training_assets(preferences: dg.PartitionsDefinition, pool: str) -> list[dg.AssetsDefinition]:
    """adapter → baseline → training_steps, partitioned by preference.

    `pool`: of the deployment's kind; its limit is the instance's (`dagster instance concurrency set`).
    """

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="training", pool=pool, kinds={"json"},
        code_version=TRAINING_VERSION,
        description="A fresh LoRA adapter on the deployment; its configuration is frozen here. "
        "In a folder that has one, that one is returned.",
    )  # fmt: skip
    def adapter(
        context: dg.AssetExecutionContext, deployment: Deployment, run_folder: CurrentRunFolder
    ) -> dg.MaterializeResult:
        record = ensure_adapter(deployment.training_context(context), resuming=run_folder.trains())
        return dg.MaterializeResult(
            value=record,
            metadata=metadata.of_adapter(record, run_folder.path),
            data_version=dg.DataVersion(adapter_data(record)),
        )

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="training", pool=pool, kinds={"json"},
        code_version=TRAINING_VERSION,
        description="All metrics on the untouched adapter, in full: what every later number is compared with. "
        "Refused once the adapter was trained.",
    )  # fmt: skip
    def baseline(
        context: dg.AssetExecutionContext, deployment: Deployment, run_folder: CurrentRunFolder, adapter: AdapterRecord
    ) -> dg.MaterializeResult:
        snapshot = ensure_baseline(deployment.training_context(context), adapter, resuming=run_folder.trains())
        return dg.MaterializeResult(
            value=snapshot,
            metadata=metadata.of_snapshot(snapshot, run_folder.path, adapter),
            data_version=dg.DataVersion(baseline_data(adapter)),
        )

    @dg.asset(
        partitions_def=preferences, io_manager_key=FILES, group_name="training", pool=pool, kinds={"python", "json"},
        code_version=TRAINING_VERSION,
        description="The expensive one: rollouts → feedback → probes, one durable line a step. "
        "Materialized again it resumes after the last whole line.",
    )  # fmt: skip
    def training_steps(
        context: dg.AssetExecutionContext,
        deployment: Deployment,
        run_folder: CurrentRunFolder,
        baseline: TrainingRecord,
    ) -> dg.MaterializeResult:
        assert baseline.baseline is not None  # the IO manager refuses to load one that is not there
        run_training(deployment.training_context(context), baseline.adapter, baseline.baseline)
        training = run_folder.preference(context.partition_key).training()
        return dg.MaterializeResult(
            metadata=metadata.of_steps(training, run_folder.path),
            data_version=dg.DataVersion(steps_data(training)),
        )

    return [adapter, baseline, training_steps]

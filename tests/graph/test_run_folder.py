"""The four rules by which a Dagster run finds its run folder."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from claas_assets.definitions import build_definitions
from claas_assets.defs.run_folder import ASSET_FILES, NEEDS, RUN_TAG, CurrentRunFolder, resolve_run_id
from claas_assets.defs.settings import evaluation_settings
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.names import run_id_at

PREFERENCES = dg.StaticPartitionsDefinition(["concise", "identity"])
SEEN: list[str] = []


@dg.asset(partitions_def=PREFERENCES)
def adapter(run_folder: CurrentRunFolder) -> None:
    SEEN.append(run_folder.path.name)


@dg.asset(partitions_def=PREFERENCES)
def verdict(run_folder: CurrentRunFolder) -> None:
    SEEN.append(run_folder.path.name)


@dg.asset
def summary(run_folder: CurrentRunFolder) -> None:
    SEEN.append(run_folder.path.name)


@pytest.fixture
def graph(tmp_path):
    """(run(asset, partition, tags, run_id) → folder name or None, instance, results folder)"""
    settings = evaluation_settings(EvalConfig(output_dir=str(tmp_path / "evals" / "unused")))
    defs = dg.Definitions(
        assets=[adapter, verdict, summary],
        resources={"settings": settings, "run_folder": CurrentRunFolder.configure_at_launch(settings=settings)},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job(f"only_{name}", selection=[name]) for name in ("adapter", "verdict", "summary")],
    )
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:

        def run(asset, partition=None, tags=None, run_id=None):
            SEEN.clear()
            config = {"resources": {"run_folder": {"config": {"run_id": run_id}}}} if run_id else None
            result = defs.resolve_job_def(f"only_{asset}").execute_in_process(
                instance=instance, partition_key=partition, tags=tags or {}, run_config=config, raise_on_error=False
            )
            created = instance.get_run_record_by_id(result.run_id).create_timestamp
            return (SEEN[0] if SEEN else None), run_id_at(created.replace(tzinfo=UTC))

        yield run, instance, tmp_path / "evals"


def make_folder(results, name, created, preference="concise", files=("metadata.json", "baseline.json")):
    for file in files:
        path = results / name / preference / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"provenance": {"created": created.isoformat()}}))


def ago(**delta):
    return datetime.now(UTC) - timedelta(**delta)


def test_rule_1_the_resource_or_the_tag_names_it(graph):
    run, _, results = graph
    make_folder(results, "other", ago(minutes=1))
    assert run("summary", run_id="mine")[0] == "mine"
    assert run("summary", tags={RUN_TAG: "tagged"})[0] == "tagged"
    assert run("summary", tags={RUN_TAG: "tagged"}, run_id="mine")[0] == "mine"


def test_rule_1_a_name_that_leaves_the_results_folder_is_refused(graph):
    run, _, _ = graph
    assert run("summary", tags={RUN_TAG: "../../etc"})[0] is None


def add_backfill(instance, backfill_id, assets, when):
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=backfill_id,
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=when.timestamp(),
            asset_selection=[dg.AssetKey(name) for name in assets],
            serialized_asset_backfill_data=None,
            asset_backfill_data=None,
        )
    )


def test_rule_2_all_runs_of_a_backfill_that_makes_adapters_share_its_creation_time(graph):
    run, instance, results = graph
    make_folder(results, "other", ago(hours=3))
    when = ago(hours=1)
    add_backfill(instance, "abc", ["adapter", "verdict", "summary"], when)
    folders = {
        run("adapter", "concise", {"dagster/backfill": "abc"})[0],
        run("adapter", "identity", {"dagster/backfill": "abc"})[0],
        run("summary", tags={"dagster/backfill": "abc"})[0],
    }
    assert folders == {run_id_at(when)}


def test_rule_2_a_retry_of_a_backfill_goes_on_in_the_first_ones_folder(graph):
    run, instance, _ = graph
    first, retry = ago(hours=2), ago(hours=1)
    add_backfill(instance, "first", ["adapter"], first)
    add_backfill(instance, "retry", ["adapter"], retry)
    tags = {"dagster/backfill": "retry", "dagster/root_backfill_id": "first"}
    assert run("adapter", "concise", tags)[0] == run_id_at(first)


def test_a_backfill_without_adapters_uses_the_newest_folder_that_is_not_younger_than_it(graph):
    run, instance, results = graph
    make_folder(results, "old", ago(hours=2))
    make_folder(results, "young", ago(minutes=1))
    add_backfill(instance, "rescore", ["verdict"], ago(hours=1))
    assert run("verdict", "concise", {"dagster/backfill": "rescore"})[0] == "old"


def test_rule_3_a_run_that_makes_an_adapter_has_a_folder_of_its_own(graph):
    run, _, results = graph
    make_folder(results, "other", ago(hours=1))
    folder, created = run("adapter", "concise")
    assert folder == created


def test_rule_3_a_re_execution_goes_on_in_the_root_runs_folder(graph):
    run, instance, _ = graph
    first, created = run("adapter", "concise")
    root = next(iter(instance.get_runs()))
    again = dg.DagsterRun(
        job_name="only_adapter", step_keys_to_execute=["adapter"], root_run_id=root.run_id, parent_run_id=root.run_id
    )

    assert resolve_run_id(instance, again, graph[2], None) == created == first


def test_rule_4_the_newest_folder_by_its_recorded_time_not_by_its_name(graph):
    run, _, results = graph
    make_folder(results, "manual-run", ago(hours=2))
    make_folder(results, "20261101-000000Z", ago(hours=1))
    assert run("summary")[0] == "20261101-000000Z"


def test_rule_4_a_folder_without_what_is_asked_for_is_passed_over(graph):
    run, _, results = graph
    make_folder(results, "whole", ago(hours=2))
    make_folder(results, "no-baseline", ago(hours=1), files=("metadata.json",))
    make_folder(results, "other-preference", ago(minutes=30), preference="identity")
    assert run("verdict", "concise")[0] == "whole"
    assert run("verdict", "identity")[0] == "other-preference"


def test_rule_4_a_folder_that_is_younger_than_the_run_is_not_taken(graph):
    run, _, results = graph
    make_folder(results, "now", ago(hours=1))
    make_folder(results, "future", ago(hours=-1))
    assert run("summary")[0] == "now"


def test_rule_4_no_folder_at_all_says_what_to_do(graph):
    run, instance, _ = graph
    assert run("summary")[0] is None
    log = instance.all_logs(next(iter(instance.get_runs())).run_id)
    assert any("materialize adapter" in str(entry.dagster_event) for entry in log if entry.is_dagster_event)


def test_the_table_of_files_and_needs_covers_the_graph():
    graph = build_definitions(EvalConfig()).resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == set(ASSET_FILES) == set(NEEDS)

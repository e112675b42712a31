"""The asset checks in the graph: they run with their asset, are partitioned, say what is wrong, and block nothing."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from claas_assets.definitions import build_definitions
from claas_assets.defs.checks import CHECKS
from claas_assets.evaluation.storage.run_folder import PreferenceFolder


def results_of(run):
    return {found.check_name: found for found in run.get_asset_check_evaluations()}


def last_check(evaluation, asset, check, partition):
    """From the instance: the checks of a run of the command line are in Dagster's history."""
    with dg.DagsterInstance.get() as instance:
        (record,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(asset), check), limit=1
        )
    found = record.event.dagster_event.asset_check_evaluation_data
    assert found.partition == partition
    return found


@pytest.mark.parametrize(("asset", "check"), [row[:2] for row in CHECKS])
def test_an_evaluation_of_the_command_line_has_every_check_passed(finished, asset, check):
    found = last_check(finished, asset, check, "identity")
    assert found.passed, found.description
    assert found.description


def test_none_blocks(finished):
    graph = build_definitions(finished.config()).resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert {(spec.asset_key.to_user_string(), spec.name) for spec in specs} == {row[:2] for row in CHECKS}
    assert not any(spec.blocking for spec in specs)


def test_a_failed_check_is_an_error_in_the_ui_and_leaves_the_run_and_the_summary_whole(finished):
    file = finished.root / "preferences" / "identity.yaml"
    file.write_text(file.read_text().replace("  name: kuro\n", "  name: zora\n", 1))
    run = finished.materialize("scores", "verdict", partition="identity")
    found = results_of(run)
    assert run.success
    assert not found["preference_learned"].passed
    assert found["preference_learned"].severity == dg.AssetCheckSeverity.ERROR
    assert found["preference_learned"].metadata["value"].value == 0.0
    assert found["no_over_application"].passed
    assert finished.materialize("summary").success


def test_checks_alone_read_a_folder_that_has_their_asset(finished):
    """The newest folder has no verdict yet: the one before it is checked."""
    younger = finished.folder.parent / "younger" / "identity"
    younger.mkdir(parents=True)
    record = PreferenceFolder(finished.folder / "identity").adapter()
    now = record.provenance.model_copy(update={"created": datetime.now(UTC).isoformat()})
    PreferenceFolder(younger).write_adapter(record.model_copy(update={"provenance": now}))
    defs = build_definitions(finished.config())
    checks = dg.AssetSelection.checks_for_assets(dg.AssetKey("verdict"))
    job = dg.Definitions(
        assets=defs.assets, asset_checks=defs.asset_checks, resources=defs.resources, executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("only_checks", selection=checks)],
    ).resolve_job_def("only_checks")  # fmt: skip
    with dg.DagsterInstance.get() as instance:
        run = job.execute_in_process(instance=instance, tags={"dagster/partition": "identity"}, raise_on_error=False)
    assert run.success
    assert set(results_of(run)) == {check for asset, check, *_ in CHECKS if asset == "verdict"}


def test_curves_sizes_and_the_way_to_the_viewer_stand_beside_each_result(finished):
    run = finished.materialize("metric_table", "collapse_snapshots", "verdict", partition="identity", run_id="the-run")
    shown = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in run.get_asset_materialization_events()
    }
    for name, file in (("metric_table", "metrics.csv"), ("collapse_snapshots", "collapse.json")):
        path = finished.folder / "identity" / file
        assert shown[name]["size_bytes"].value == path.stat().st_size
        assert shown[name]["path"].path == str(path)
        assert shown[name]["adapter"].value == "eval/identity-the-run"
        assert shown[name]["deployment"].value == "CLaaS API 0.1.0"
        assert shown[name]["viewer"].url.endswith("/runs/the-run")
        assert shown[name]["viewer_command"].value.startswith(f"claas-eval view {finished.folder.parent}")
        assert "every base model" in shown[name]["charts"].value
    columns = [column.name for column in shown["metric_table"]["dagster/column_schema"].value.columns]
    header = (finished.folder / "identity" / "metrics.csv").read_text().splitlines()[0]
    assert columns == header.split(",")
    curves = {name: value.value for name, value in shown["collapse_snapshots"].items() if name.endswith("_curve")}
    assert "entropy_ratio_curve" in curves
    assert all(len(text) < 1000 and "data:image/svg+xml;base64," in text for text in curves.values())
    assert shown["verdict"]["criterion/obeyed"].value > 0.8


def test_the_rescore_job_scores_again_from_files_alone_and_checks_it(finished):
    file = finished.root / "preferences" / "identity.yaml"
    file.write_text(file.read_text().replace("  name: kuro\n", "  name: zora\n", 1))
    defs = build_definitions(finished.config(claas_url="http://127.0.0.1:9"))
    with dg.DagsterInstance.get() as instance:
        run = defs.resolve_job_def("rescore").execute_in_process(instance=instance, partition_key="identity")
    made = {event.asset_key.to_user_string() for event in run.get_asset_materialization_events()}
    assert made == {"scores", "metric_table", "collapse_snapshots", "verdict"}
    assert not results_of(run)["preference_learned"].passed
    assert results_of(run)["no_collapse_alert"].passed

"""Evaluations of some of the preferences, one that failed, and several at once."""

import pytest

from claas_assets.defs.failures import words_of
from claas_assets.evaluation.errors import IncompleteEvaluation
from claas_assets.evaluation.storage.names import run_id_at
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from tests.fake_claas import status
from tests.graph.test_run_folder import RUN_TAG, add_backfill, ago, graph, make_folder  # noqa: F401 - a fixture

ALL = ("adapter", "baseline", "training_steps", "scores", "metric_table", "collapse_snapshots", "verdict")


def test_a_run_reads_the_scores_once_for_the_three_that_need_them(evaluation, monkeypatch):
    made = evaluation(num_steps=1)
    made.run()
    read, scores = [], PreferenceFolder.scores
    monkeypatch.setattr(PreferenceFolder, "scores", lambda self: read.append(self.name) or scores(self))
    assert made.materialize("scores", "metric_table", "collapse_snapshots", "verdict", partition="identity").success
    assert read == ["identity"]


def test_one_that_failed_is_unfinished_until_it_is_materialized_again_in_the_ui_and_a_third_can_follow(evaluation):
    made = evaluation(preferences=["concise", "identity"], num_steps=1)
    made.fake.faults.add("/v1/feedback", status(403), nth=1)
    with pytest.raises(IncompleteEvaluation, match="concise") as caught:
        made.run()
    assert str(made.folder) in str(caught.value)
    summary = RunFolder(made.folder).summary()
    assert {name: entry.overall == "unfinished" for name, entry in summary.items()} == {
        "concise": True, "identity": False,
    }  # fmt: skip
    for name in ("concise", "no_emoji"):
        assert made.materialize(*ALL, partition=name, run_id="the-run").success
    assert made.materialize("summary", run_id="the-run").success
    summary = RunFolder(made.folder).summary()
    assert set(summary) == {"concise", "identity", "no_emoji"}
    assert all(entry.overall != "unfinished" for entry in summary.values())
    assert summary["concise"].steps_recorded == 1


def test_two_backfills_at_once_keep_to_their_own_folders(graph):  # noqa: F811
    run, instance, _ = graph
    first, second = ago(minutes=3), ago(minutes=2)
    for name, when in (("first", first), ("second", second)):
        add_backfill(instance, name, ["adapter", "verdict", "summary"], when)
    found = [
        run(asset, partition, {"dagster/backfill": name})[0]
        for asset, partition in (("adapter", "concise"), ("verdict", "concise"), ("adapter", "identity"))
        for name in ("first", "second")
    ]
    assert found == [run_id_at(first), run_id_at(second)] * 3
    assert run("summary", None, {"dagster/backfill": "first"})[0] == run_id_at(first)


def test_a_backfill_beside_the_command_line_keeps_to_its_own_folder(graph):  # noqa: F811
    """The command line's folder is younger, and holds all that is asked for."""
    run, instance, results = graph
    when = ago(minutes=3)
    add_backfill(instance, "backfill", ["adapter", "verdict", "summary"], when)
    make_folder(results, "of-the-command-line", ago(minutes=1))
    assert run("verdict", "concise", {"dagster/backfill": "backfill"})[0] == run_id_at(when)
    assert run("summary", None, {"dagster/backfill": "backfill"})[0] == run_id_at(when)
    assert run("verdict", "concise", {RUN_TAG: "of-the-command-line"})[0] == "of-the-command-line"


def test_an_asset_that_reads_a_broken_file_fails_with_the_file_and_the_key(evaluation):
    made = evaluation(num_steps=1)
    made.run()
    steps = made.folder / "identity" / "steps.jsonl"
    steps.write_text(steps.read_text().replace('"sub_step_count":', f'"sub_step_count":{10**400},"was":'))
    done = made.materialize("scores", partition="identity", run_id="the-run")
    failed = next(event for event in done.all_events if event.is_step_failure)
    assert "steps.jsonl, line 1: not a step record: sub_step_count" in words_of(failed.step_failure_data.error)

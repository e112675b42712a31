"""The conditions by which results are made again: once, not in a loop, not beside an evaluation.

A stand-in of the graph, with its names and conditions, without its work.
"""

import dagster as dg
import pytest

from claas_assets.definitions import build_definitions
from claas_assets.defs.automation import when_inputs_change, when_preference_file_changes_too, when_verdicts_change
from claas_assets.defs.run_folder import RUN_TAG
from claas_assets.defs.sources import DATA_VERSION_TAG
from claas_assets.evaluation.config import EvalConfig

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b", "c"])
TRAINING = ("adapter", "baseline", "training_steps")
SCORED = ("scores", "metric_table", "collapse_snapshots", "verdict")
MADE_OF_ALL = ("summary", "plots", "report")
ABOVE = {
    "adapter": [], "baseline": ["adapter"], "training_steps": ["baseline"],
    "scores": ["training_steps", "preference_file"],
    "metric_table": ["scores"], "collapse_snapshots": ["scores"], "verdict": ["scores"],
    "summary": ["verdict"], "plots": ["summary"], "report": ["summary"],
}  # fmt: skip
CONDITIONS = {
    **dict.fromkeys(("metric_table", "collapse_snapshots", "verdict", "plots", "report"), when_inputs_change()),
    "scores": when_preference_file_changes_too(), "summary": when_verdicts_change(),
}  # fmt: skip


@dg.observable_source_asset(partitions_def=PARTITIONS)
def preference_file():
    return dg.DataVersionsByPartition({})


def stand_in(name):
    condition = CONDITIONS.get(name)
    mapping = dg.AllPartitionMapping() if name == "summary" else None

    @dg.asset(
        name=name, deps=[dg.AssetDep(above, partition_mapping=mapping) for above in ABOVE[name]],
        partitions_def=None if name in MADE_OF_ALL else PARTITIONS, automation_condition=condition,
    )  # fmt: skip
    def made(context: dg.AssetExecutionContext) -> None:
        if context.run.tags.get("fails_at") == name:
            raise RuntimeError("made to fail")

    return made


DEFS = dg.Definitions(assets=[preference_file, *(stand_in(name) for name in ABOVE)], executor=dg.in_process_executor)


class Ticking:
    """`run(…)` materializes; `tick()` says what the automation sensor would request now."""

    def __init__(self, instance):
        self.instance = instance
        self.cursor = None
        self.tick()

    def run(self, *assets, partition=None, **tags):
        job = DEFS.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[dg.AssetKey(name) for name in assets], partition_key=partition, instance=self.instance,
            tags=tags, raise_on_error=False,
        )  # fmt: skip

    def observe(self, partition, version):
        self.instance.report_runless_asset_event(
            dg.AssetObservation("preference_file", partition=partition, tags={DATA_VERSION_TAG: version})
        )

    def tick(self):
        result = dg.evaluate_automation_conditions(defs=DEFS, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        found = set()
        for key in (dg.AssetKey(name) for name in ABOVE):
            if result.get_num_requested(key):
                parts = result.get_requested_partitions(key)
                found |= {(key.to_user_string(), part) for part in parts or {None}}
        return found


def of(partition, *names):
    return {(name, None if name in MADE_OF_ALL else partition) for name in names}


@pytest.fixture
def ticking():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticking(instance)


def test_an_evaluation_in_the_ui_gets_its_summary_once_and_is_not_scored_twice(ticking):
    assert ticking.run(*TRAINING, *SCORED, partition="a").success
    assert ticking.tick() == of("a", *MADE_OF_ALL)
    assert ticking.tick() == set()
    assert ticking.run(*MADE_OF_ALL).success
    assert ticking.tick() == set()


def test_an_evaluation_that_sees_to_its_own_summary_is_left_alone(ticking):
    tag = {RUN_TAG: "the-run"}
    assert ticking.run(*TRAINING, *SCORED, partition="a", **tag).success
    assert ticking.tick() == set()
    assert ticking.run(*MADE_OF_ALL, **tag).success
    assert ticking.tick() == set()


def test_new_steps_alone_are_scored_judged_and_summarized(ticking):
    ticking.run(*TRAINING, *SCORED, partition="a")
    ticking.run(*MADE_OF_ALL)
    ticking.tick()
    assert ticking.run("training_steps", partition="a").success
    assert ticking.tick() == of("a", *SCORED)
    assert ticking.tick() == set()
    ticking.run(*SCORED, partition="a")
    assert ticking.tick() == of("", *MADE_OF_ALL)  # not before: it would be made twice
    ticking.run(*MADE_OF_ALL)
    assert ticking.tick() == set()


def test_a_fresh_adapter_and_baseline_without_steps_are_nothing_to_judge(ticking):
    ticking.run(*TRAINING, *SCORED, partition="a")
    ticking.run(*MADE_OF_ALL)
    ticking.tick()
    ticking.run("adapter", "baseline", partition="a")
    assert ticking.tick() == set()


def test_an_edited_preference_file_is_scored_again_and_an_unchanged_one_is_not(ticking):
    ticking.observe("a", "1")
    for partition in ("a", "b"):
        ticking.run(*TRAINING, *SCORED, partition=partition)
    ticking.run(*MADE_OF_ALL)
    ticking.tick()
    ticking.observe("a", "2")
    assert ticking.tick() == of("a", *SCORED)
    ticking.run(*SCORED, partition="a")
    assert ticking.tick() == of("", *MADE_OF_ALL)
    ticking.run(*MADE_OF_ALL)
    assert ticking.tick() == set()
    ticking.observe("a", "2")
    assert ticking.tick() == set()


def test_a_partly_failed_backfill_gets_its_summary(ticking):
    backfill = {"dagster/backfill": "abc"}
    assert ticking.run(*TRAINING, *SCORED, partition="a", **backfill).success
    assert not ticking.run(*TRAINING, *SCORED, partition="b", fails_at="training_steps", **backfill).success
    assert ticking.run(*TRAINING, *SCORED, partition="c", **backfill).success
    assert ticking.tick() == of("", *MADE_OF_ALL)
    assert ticking.tick() == set()


def test_nothing_is_summarized_while_another_preference_is_being_evaluated(ticking):
    ticking.run(*TRAINING, *SCORED, partition="a")
    job = DEFS.resolve_implicit_global_asset_job_def()
    going = ticking.instance.create_run_for_job(
        job_def=job.get_subset(asset_selection={dg.AssetKey(name) for name in (*TRAINING, *SCORED)}),
        tags={"dagster/partition": "b"}, status=dg.DagsterRunStatus.STARTED,
    )  # fmt: skip
    assert ticking.tick() == set()
    ticking.instance.report_run_failed(going)
    assert ticking.tick() == of("", *MADE_OF_ALL)


def test_the_graph_has_these_conditions_below_training_and_none_above():
    graph = build_definitions(EvalConfig()).resolve_asset_graph()
    found = {key.to_user_string(): graph.get(key).automation_condition for key in graph.materializable_asset_keys}
    assert {name: found[name] for name in TRAINING} == dict.fromkeys(TRAINING)
    assert {name: found[name] for name in CONDITIONS} == CONDITIONS
    edges = {name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys} for name in found}
    assert edges == {name: set(above) for name, above in ABOVE.items()}

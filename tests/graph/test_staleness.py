"""What Dagster shows as stale after a change, and what it does not: training never for how answers are scored."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver  # no public name gives what the UI shows
from dagster._core.definitions.observe import observe as observe_sources
from dagster._core.loader import LoadingContextForTest

from claas_assets.definitions import build_definitions
from claas_assets.defs.sources import PREFERENCE_FILE, observe
from claas_assets.evaluation import figures
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics import get_metric
from claas_assets.evaluation.verdict.versions import adapter_data, baseline_data, steps_data
from claas_assets.viewer import report as viewer_report
from tests.synthetic.runs import made_preference_run

TRAINING = {"adapter", "baseline", "training_steps"}
SCORED = {"scores", "metric_table", "collapse_snapshots", "verdict"}


def stale(evaluation, **changes):
    """Names of the assets that the UI of a code location with this configuration shows as stale."""
    graph = build_definitions(evaluation.config(**changes)).resolve_asset_graph()
    with dg.DagsterInstance.get() as instance:
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        return {
            key.to_user_string()
            for key in graph.materializable_asset_keys
            if resolver.get_status(key, "identity" if graph.get(key).is_partitioned else None).value == "STALE"
        }


def edit_preference(evaluation):
    file = evaluation.root / "preferences" / "identity.yaml"
    file.write_text(file.read_text().replace("  name: kuro\n", "  name: zora\n", 1))
    with dg.DagsterInstance.get() as instance:
        observe(instance, file.parent, "identity")


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps_per_batch": 2, "learning_rate": 1e-5}, "seed": 7},
        {"probe_max_tokens": 99, "num_steps": 9},
        {"thresholds": {"logprob_margin": {"pass_at": 9.0, "fail_at": 1.0}}},
        {"claas_url": "http://elsewhere:8080", "max_concurrency": 3},
    ],
)
def test_a_code_location_with_another_configuration_calls_nothing_stale_for_its_code_is_the_same(finished, changes):
    assert stale(finished, **changes) == set()


def test_an_adapter_that_is_made_with_another_configuration_makes_the_baseline_below_it_stale(finished):
    assert finished.materialize("adapter", partition="identity", run_id="the-run").success
    assert stale(finished) == set()  # the same one, which the folder has
    swept = {"training": {"steps_per_batch": 2, "learning_rate": 1e-5}}
    assert finished.materialize("adapter", partition="identity", run_id="other", **swept).success
    assert stale(finished) == {"baseline"}


def test_another_learning_rate_another_way_of_measuring_and_another_step_are_other_data():
    def data(recorded=2, **changes):
        config = EvalConfig(metrics=["logprob", "compliance"], output_dir="./x/run", **changes)
        run = made_preference_run(config=config, recorded=recorded)
        return [adapter_data(run.adapter), baseline_data(run.adapter), steps_data(run)]

    def changed(**how):
        return [one != other for one, other in zip(data(**how), data(), strict=True)]

    assert changed(claas_url="http://elsewhere:8080", max_concurrency=3) == [False, False, False]
    assert changed(training={"learning_rate": 1e-5}) == [True, False, False]  # those below have other inputs then
    assert changed(probe_max_tokens=99) == [False, True, True]
    assert changed(recorded=1) == [False, False, True]


def test_a_verdict_by_other_thresholds_makes_the_summary_stale(finished):
    strict = {"logprob_margin": {"pass_at": 500.0, "fail_at": 400.0}}
    assert finished.materialize("verdict", partition="identity", thresholds=strict).success
    assert stale(finished) == {"summary"}


def test_a_raised_metric_version_makes_scoring_stale_and_not_training(finished, monkeypatch):
    monkeypatch.setattr(get_metric("compliance"), "version", 99)
    assert stale(finished) == {"scores"}


def test_an_edited_preference_file_makes_scoring_stale_until_it_is_scored_again(finished, monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda *_: {})  # what is in a picture does not matter here, and takes long
    monkeypatch.setattr(viewer_report, "render_report", lambda _: "")
    edit_preference(finished)
    assert stale(finished) == {"scores"}
    assert finished.materialize(*SCORED, partition="identity").success
    assert stale(finished) == {"summary"}  # the verdict is another one now
    assert finished.materialize("summary", "plots", "report").success
    assert stale(finished) == set()


def test_scoring_again_with_the_same_outcome_makes_nothing_stale(finished):
    assert finished.materialize(*SCORED, partition="identity").success
    assert stale(finished) == set()


def test_a_run_that_scores_records_the_file_it_read_once(finished):
    def observed():
        with dg.DagsterInstance.get() as instance:
            return len(instance.fetch_observations(PREFERENCE_FILE, limit=50).records)

    assert observed() == 1  # by the evaluation itself: nothing looks stale at the first observation
    assert finished.materialize(*SCORED, partition="identity").success
    assert observed() == 1


def test_the_source_asset_observes_every_file(finished):
    defs = build_definitions(finished.config())
    graph = defs.resolve_asset_graph()
    assert PREFERENCE_FILE in graph.observable_asset_keys
    below = {name for name in (*TRAINING, *SCORED) if PREFERENCE_FILE in graph.get(dg.AssetKey(name)).parent_keys}
    assert below == {"scores"}
    source = next(asset for asset in defs.assets if getattr(asset, "key", None) == PREFERENCE_FILE)
    edit_preference(finished)
    with dg.DagsterInstance.get() as instance:
        assert observe_sources([source], instance=instance, resources={"settings": defs.resources["settings"]}).success
    assert stale(finished) == {"scores"}

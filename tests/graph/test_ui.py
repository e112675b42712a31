"""Dagster's UI in a real browser: "Materialize all" evaluates every preference into one run folder."""

from __future__ import annotations

import shutil

import pytest

from tests.browser import browser
from tests.dagster_ui import backfill_status, dagster_dev, materialize_all, open_graph, runs, wait_for
from tests.graph.conftest import PREFERENCES

TWO = ("concise", "identity")  # as many as show it: each partition is a run
ASSETS = ("adapter", "baseline", "training_steps", "metric_table", "collapse_snapshots", "verdict", "summary", "plots")


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright", reason="playwright is not installed (the dev extra has it)")
    try:
        opened = browser()
        found = opened.__enter__()
    except RuntimeError as error:
        pytest.skip(str(error))
    yield found
    opened.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_materialize_all_turns_green(chromium, fake, tmp_path):
    deployment = fake()
    light = {"num_steps": 1, "batch_size": 2, "metrics": ["logprob", "compliance"]}
    few = tmp_path / "preferences"
    few.mkdir()
    for name in TWO:
        shutil.copy(PREFERENCES / f"{name}.yaml", few)
    settings = {**light, "claas_url": deployment.url, "preferences_dir": str(few), "deployment_timeout_s": 0}
    with dagster_dev(tmp_path, program="dg", **settings) as ui:  # what `dagster dev` runs, too
        page = chromium.new_page(viewport={"width": 1600, "height": 900})
        open_graph(page, ui)
        for asset in ASSETS:
            page.get_by_text(asset, exact=True).first.wait_for()
        materialize_all(page)
        ended = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
        status = wait_for("the end of the backfill", lambda: (s := backfill_status(ui)) in ended and s)
        assert status == "COMPLETED_SUCCESS"
        partitions = [run["tags"].get("dagster/partition") for run in runs(ui)]
        assert {run["status"] for run in runs(ui)} == {"SUCCESS"}
        assert set(partitions) == {*TWO, None}
        assert len(partitions) == len(set(partitions))  # one run a preference, one for the summary
        page.goto(f"{ui.url}/runs")
        page.get_by_text("Success", exact=True).first.wait_for()
        assert page.get_by_text("Failure", exact=True).count() == 0
        page.close()
        (folder,) = ui.results.iterdir()
        assert {path.parent.name for path in folder.glob("*/verdict.json")} == set(partitions) - {None}
        assert (folder / "summary.json").exists()
        assert len(deployment.updates) == len(set(partitions)) - 1

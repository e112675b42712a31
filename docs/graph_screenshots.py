"""The pictures of the graph in Dagster's UI, docs/images/graph-*.png: `python -m docs.graph_screenshots`.

`dagster dev` in a home of its own evaluates the fake deployment (tests/fake_claas), whose answers take a set
time: the numbers in the pictures are made up. Takes two minutes, needs the `dev` extra and a Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from docs.screenshots import IMAGES, _small
from tests.browser import browser
from tests.dagster_ui import DevUI, backfill_status, dagster_dev, materialize_all, open_graph, runs, wait_for
from tests.fake_claas.process import FakeProcess

LATENCY_S = {"/v1/chat/completions": 0.15, "/v1/score": 0.05, "/v1/feedback": 3.0}


SETTLE_MS = 10_000  # on a busy machine the pages take their time


def take(page: Any, ui: DevUI, name: str, path: str | None, height: int = 800) -> None:
    """One picture: of what the page shows, or of `path`."""
    page.set_viewport_size({"width": 1280, "height": height})
    if path is not None:
        page.goto(ui.url + path)
        page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    (IMAGES / f"graph-{name}.png").write_bytes(_small(page.screenshot()))
    print(f"docs/images/graph-{name}.png")


def take_graph(page: Any, ui: DevUI, name: str) -> None:
    """The asset graph alone, unfolded and pulled into sight."""
    page.set_viewport_size({"width": 1800, "height": 900})
    open_graph(page, ui)
    page.wait_for_timeout(SETTLE_MS)
    page.mouse.move(700, 700)
    page.mouse.down()
    page.mouse.move(675, 735, steps=5)
    page.mouse.up()
    page.mouse.move(1000, 850)  # nothing is under it there
    page.wait_for_timeout(SETTLE_MS)
    png = page.screenshot(clip={"x": 545, "y": 240, "width": 1195, "height": 525})
    (IMAGES / f"graph-{name}.png").write_bytes(_small(png))
    print(f"docs/images/graph-{name}.png")


def main() -> int:
    """Write the pictures; returns the exit code."""
    with (
        FakeProcess("embedded", LATENCY_S) as fake,
        TemporaryDirectory(prefix="claas-") as folder,
        dagster_dev(Path(folder), claas_url=fake.url, num_steps=8) as ui,
        browser() as chromium,
    ):
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        open_graph(page, ui)
        materialize_all(page)
        running = wait_for("a run", lambda: [run for run in runs(ui) if run["status"] == "STARTED"])
        run_id = running[-1]["runId"]
        wait_for("a step", lambda: "step 3 of 8" in _log(ui, run_id))
        take(page, ui, "run", f"/runs/{run_id}")
        wait_for("the end", lambda: (backfill_status(ui) or "").startswith("COMPLETED"))
        take_graph(page, ui, "assets")
        take(page, ui, "checks", "/assets/verdict?view=checks&checkDetail=preference_learned")
        take(page, ui, "plot", "/assets/training_steps?view=partitions&partition=identity", height=1200)
    return 0


def _log(ui: DevUI, run_id: str) -> str:
    query = """query Log($run: ID!) { logsForRun(runId: $run) {
        ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
    return "\n".join(event.get("message", "") for event in ui.ask(query, run=run_id)["logsForRun"]["events"])


if __name__ == "__main__":
    sys.exit(main())

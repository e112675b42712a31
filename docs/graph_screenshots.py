"""The pictures of the graph in Dagster's UI, docs/images/graph-*.png: `python -m docs.graph_screenshots`.

`dagster dev` in a home of its own evaluates the fake deployment (tests/fake_claas), whose answers take a set
time: the numbers in the pictures are made up. Takes two minutes, needs the `dev` extra and a Chromium.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

from docs.screenshots import IMAGES, ROOT, _small, browser
from tests.fake_claas.process import FakeProcess

LATENCY_S = {"/v1/chat/completions": 0.15, "/v1/score": 0.05, "/v1/feedback": 3.0}


SETTLE_MS = 3000
EXPANDED = ",".join(f"global@global:{group}" for group in ("training", "results", "summary"))


class DevUI:
    """A running `dagster dev`: its address, and the results folder that it writes to."""

    def __init__(self, url: str, results: Path) -> None:
        self.url = url
        self.results = results

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        return dict(answer.raise_for_status().json()["data"])


@contextmanager
def dagster_dev(folder: Path, program: str = "dagster", **settings: Any) -> Iterator[DevUI]:
    """`dagster dev` (or `dg dev`) with a home in `folder` and these keys of the configuration, in a process group of
    its own, which is ended whatever happens. Raises `RuntimeError` where it does not come up."""
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    results = folder / "evals"
    config = {"preferences_dir": str(ROOT / "preferences"), "output_dir": str(results / "unused"), **settings}
    (folder / "eval.yaml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder / "home"),
        "CLAAS_EVAL_CONFIG": str(folder / "eval.yaml"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [str(Path(sys.executable).parent / program), "dev", "-h", "127.0.0.1", "-p", str(port)]
    with open(folder / "dev.log", "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        ui = DevUI(f"http://127.0.0.1:{port}", results)
        _wait_until_loaded(ui, process, folder / "dev.log")
        yield ui
    finally:
        _end(process)


def _wait_until_loaded(ui: DevUI, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ui.ask("{ assetNodes { id } }")["assetNodes"]:
                return
        except httpx.HTTPError:
            pass  # not yet
        time.sleep(0.5)
    raise RuntimeError(f"dagster dev did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind
    process.wait()


def open_graph(page: Any, ui: DevUI) -> None:
    """The asset graph with every group unfolded. A first visit may be greeted by a dialog."""
    page.goto(f"{ui.url}/asset-groups?expanded={EXPANDED}")
    page.get_by_role("button", name="Materialize all").wait_for(timeout=60_000)
    skip = page.get_by_role("button", name="Skip")
    if skip.count():
        skip.first.click()


def materialize_all(page: Any) -> None:
    """The button of that name, for all partitions."""
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_role("button", name="Launch backfill").wait_for(state="detached")


def backfill_status(ui: DevUI) -> str | None:
    """Of the newest backfill, as Dagster names it (COMPLETED_SUCCESS, ...); None where there is none yet."""
    answer = ui.ask("{ partitionBackfillsOrError { ... on PartitionBackfills { results { status } } } }")
    results = answer["partitionBackfillsOrError"]["results"]
    return str(results[0]["status"]) if results else None


def runs(ui: DevUI) -> list[dict[str, Any]]:
    """All runs, newest first: `runId`, `status`, and the partition as `partition`."""
    found = ui.ask("{ runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }")
    return [
        {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found["runsOrError"]["results"]
    ]


def wait_for(what: str, done: Any, seconds: float = 240) -> Any:
    """What `done()` returns once it is something. The daemon ticks every 30 s."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        time.sleep(1)
    raise RuntimeError(f"{what}: not within {seconds:.0f} s")


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
    page.set_viewport_size({"width": 1800, "height": 1560})
    open_graph(page, ui)
    page.wait_for_timeout(SETTLE_MS)
    page.mouse.move(700, 900)
    page.mouse.down()
    page.mouse.move(675, 935, steps=5)
    page.mouse.up()
    page.wait_for_timeout(SETTLE_MS)
    png = page.screenshot(clip={"x": 545, "y": 125, "width": 1195, "height": 1435})
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

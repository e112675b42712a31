"""`dagster dev` with a home of its own, and what one does in its pages."""

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
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[1]
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

"""How long the viewer takes for many runs: `python -m benchmarks.viewer`.

It makes RUNS runs of three preferences and STEPS steps from `data/example` in a temporary folder (the large
files are links to a few, so that they need little room), and prints times, sizes and memory.
Targets: the list under 300 ms with nothing changed since the last look, a run's page under 300 ms.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.synthetic.example_copies import copy_run

RUNS, STEPS, SWEPT = 500, 20, 30
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def make_runs(results_dir: Path, count: int, steps: int) -> None:
    first: Path | None = None
    for index in range(count):
        moment = FIRST + timedelta(hours=index)
        made = copy_run(results_dir / moment.strftime("%Y%m%d-%H%M%SZ"), moment, steps=steps, linked_from=first)
        first = first or made
        if index < SWEPT:
            make_swept(made, index)


def make_swept(run: Path, index: int) -> None:
    """A job of the sweep `bench`: one of six learning rates, under one of five seeds."""
    for path in run.glob("*/metadata.json"):
        metadata = json.loads(path.read_text())
        metadata["config"] |= {"sweep_id": "bench", "seed": index % 5}
        metadata["config"]["training"]["learning_rate"] = 1e-4 * 2 ** (index // 5)
        path.write_text(json.dumps(metadata), encoding="utf-8")


def timed_ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()

    from fastapi.testclient import TestClient

    from claas_assets.evaluation.runs.catalog import list_runs
    from claas_assets.viewer.app import build_app
    from claas_assets.viewer.report import render_report

    with tempfile.TemporaryDirectory() as folder:
        results_dir = Path(folder) / "evals"
        print(f"made {options.runs} runs of 3 × {options.steps} steps in "
              f"{timed_ms(lambda: make_runs(results_dir, options.runs, options.steps)) / 1000:.1f} s")  # fmt: skip
        print(f"list_runs, first time       {timed_ms(lambda: list_runs(results_dir)):7.0f} ms")
        warm = min(timed_ms(lambda: list_runs(results_dir)) for _ in range(5))
        print(f"list_runs, nothing changed  {warm:7.0f} ms")
        client = TestClient(build_app(results_dir), base_url="http://localhost")
        newest = list_runs(results_dir)[0].run_id
        client.get("/static/viewer.css")  # the client's own start
        run = f"/runs/{newest}"
        eight = "&".join(f"run={found.run_id}" for found in list_runs(results_dir)[:8])
        pages = {
            "list page": "/", "list, sorted, filtered": "/?sort=-change&q=identity", "run page": run,
            "preference page": f"{run}/identity",
            "a prompt": f"{run}/identity/compare?prompt=compliance/heldout_prompts/7",
            "a step": f"{run}/identity/states/3?part=1",
            "the last step": f"{run}/identity/states/{options.steps - 1}?part=1",
            "first figure (imports)": f"{run}/figures/margins.svg",
            "two runs side by side": "/compare?" + "&".join(eight.split("&")[:2]),
            "eight runs side by side": f"/compare?{eight}",
            f"a sweep of {min(options.runs, SWEPT)} runs": "/sweeps/bench",
            "second figure": f"{run}/figures/learning_curves.svg",
        }  # fmt: skip
        for name, path in pages.items():
            cold, size = timed_ms(lambda path=path: client.get(path)), len(client.get(path).content)
            again = timed_ms(lambda path=path: client.get(path))
            print(f"{name:26}  {cold:7.0f} ms, again {again:4.0f} ms  {size / 1024:6.0f} KiB")
        report = render_report(results_dir / newest)
        print(f"report.html                 {len(report.encode()) / 2**20:7.2f} MiB")
    print(f"largest resident size       {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB")


if __name__ == "__main__":
    main()

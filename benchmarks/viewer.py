"""How long the viewer takes for many runs: `python -m benchmarks.viewer`.

It makes RUNS runs from `data/example` in a temporary folder (the large files are links to those of the first, so
that they need little room), and prints times, sizes and memory. With `--first-version`, of runs of 0.1.0: those have
no scores, and a comparison scores them again.
Targets: the list under 300 ms with nothing changed since the last look, a run's page under 300 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.synthetic import example_copies

RUNS, SWEPT = 500, 30
EXAMPLE = Path(__file__).parents[1] / "data" / "example"
LARGE = ("baseline.json", "steps.jsonl", "scores.json")
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def make_runs(results_dir: Path, count: int, *, first_version: bool = False) -> None:
    copy = example_copies.copy_run if first_version else copy_run
    first: Path | None = None
    for index in range(count):
        moment = FIRST + timedelta(hours=index)
        made = copy(results_dir / moment.strftime("%Y%m%d-%H%M%SZ"), moment, linked_from=first)
        first = first or made
        if index < SWEPT:
            make_swept(made, index)


def copy_run(target: Path, created: datetime, *, linked_from: Path | None = None) -> Path:
    """`data/example` under another name and time; its large files are `linked_from` an earlier copy."""
    for source in sorted(EXAMPLE.glob("*/metadata.json")):
        folder = target / source.parent.name
        folder.mkdir(parents=True)
        for path in (found for found in source.parent.iterdir() if found.is_file()):
            if linked_from is not None and path.name in LARGE:
                os.link(linked_from / folder.name / path.name, folder / path.name)
            else:
                shutil.copyfile(path, folder / path.name)
        metadata = json.loads(source.read_text())
        metadata["provenance"]["created"], metadata["run_id"] = created.isoformat(), target.name
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    return target


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
    parser.add_argument("--first-version", action="store_true", help="runs of 0.1.0")
    options = parser.parse_args()

    from fastapi.testclient import TestClient

    from claas_assets.evaluation.runs.catalog import list_runs
    from claas_assets.viewer.app import build_app
    from claas_assets.viewer.report import render_report

    with tempfile.TemporaryDirectory() as folder:
        results_dir = Path(folder) / "evals"
        made_ms = timed_ms(lambda: make_runs(results_dir, options.runs, first_version=options.first_version))
        print(f"made {options.runs} runs in {made_ms / 1000:.1f} s")
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
            "the last step": f"{run}/identity/states/9?part=1",
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

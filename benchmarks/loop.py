"""How close the loop comes to the critical path: `python -m benchmarks.loop [--mode tinker] [--snapshots light]`.

`claas-eval` runs as a user starts it, against a fake deployment in another process whose answers take
a set time (asynchronous sleeps): generation 100 ms, a score 30 ms, feedback 800 ms, all else nothing.
Three preferences of five steps.

    light   the default: every step light, baseline and last step full, some 550 requests a preference (the
            public harness, which has no full snapshots, sends 276 in all: `steps` below is what compares)
    full    every step full

For each it prints the loop's wall time (the fake's first to last request of an adapter, so without
process start), requests, peak concurrency as the fake saw it, the critical path (`critical_path.py`)
and wall / critical path; the same for the steps alone (first to last feedback call of each preference:
on `light` that is the light part, without the two full snapshots); and beside it what `claas-eval` takes
before, between (the preferences) and after: starting Python and Dagster, processes and runs, tables, summary.

`--own`: the same evaluation, light, of a deployment that answers at once. What is left is ours: the processes, Dagster,
a request's cost, the programs that models write, tables and pictures.

Further arguments (`key=value`) go to `claas-eval`. These are figures, not tests: on a busy machine they rise.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from claas_assets.evaluation.config import mode_defaults
from tests.fake_claas.critical_path import (
    CHAT,
    FEEDBACK,
    INIT,
    SCORE,
    Limits,
    PreferenceRun,
    least_of_all,
    least_of_steps,
    runs_seen,
)
from tests.fake_claas.process import FakeProcess, Observed
from tests.fake_claas.recorder import Span

MODES = ("tinker", "local", "modal")
SNAPSHOTS = ("light", "full")
STEPS = 5
LATENCY_S = {CHAT: 0.1, SCORE: 0.03, FEEDBACK: 0.8}
_COLUMNS = ("mode", "snapshots", "wall", "requests", "peak", "critical path", "ratio", "steps", "their path", "ratio",
            "idle", "before", "between", "after", "CPU", "CPU/request")  # fmt: skip
_OWN_COLUMNS = ("mode", "all", "before", "first to last request", "after", "CPU", "requests")


@dataclass(frozen=True)
class Command:
    """A finished `claas-eval`: when it began and ended (`time.monotonic()`), CPU seconds of it and its children."""

    began: float
    ended: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, action="append", help="one or more; default: all")
    parser.add_argument("--snapshots", choices=SNAPSHOTS, action="append", help="one or both; default: both")
    parser.add_argument("--own", action="store_true", help="the deployment answers at once: what we take ourselves")
    parser.add_argument("overrides", nargs="*", help="key=value for claas-eval")
    asked = parser.parse_args()
    columns = _OWN_COLUMNS if asked.own else _COLUMNS
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |", flush=True)
    if asked.own:
        for mode in asked.mode or MODES:
            print(measure_own(mode, asked.overrides), flush=True)
        return
    for snapshots in asked.snapshots or SNAPSHOTS:
        for mode in asked.mode or MODES:
            print(measure(mode, snapshots, asked.overrides), flush=True)
    print("\nSeconds; CPU: of claas-eval and its children (ms a request). idle: nothing in flight within a preference.")


def measure(mode: str, snapshots: str, overrides: Sequence[str]) -> str:
    """One evaluation, as a row of the table."""
    with FakeProcess(mode, LATENCY_S) as fake, tempfile.TemporaryDirectory() as folder:
        command = evaluate(fake.url, mode, snapshots, Path(folder), overrides)
        return row(mode, snapshots, command, fake.observed())


def measure_own(mode: str, overrides: Sequence[str]) -> str:
    """One evaluation of a deployment that takes no time, as a row of the table of `--own`."""
    with FakeProcess(mode, dict.fromkeys(LATENCY_S, 0.0)) as fake, tempfile.TemporaryDirectory() as folder:
        command = evaluate(fake.url, mode, "light", Path(folder), overrides)
        spans = fake.observed().spans
    first, last = min(span.began for span in spans), max(span.ended or span.began for span in spans)
    seconds = (command.ended - command.began, first - command.began, last - first, command.ended - last, command.cpu_s)
    return f"| {mode} | " + " | ".join(f"{value:.1f}" for value in seconds) + f" | {len(spans)} |"


def evaluate(url: str, mode: str, snapshots: str, folder: Path, overrides: Sequence[str]) -> Command:
    full = list(range(STEPS)) if snapshots == "full" else []
    arguments = [
        f"mode={mode}", f"claas_url={url}", "openclaw_url=null", f"num_steps={STEPS}", f"snapshot_steps={full}",
        f"output_dir={folder}/evals/the-run", f"preferences_dir={Path('preferences').resolve()}", *overrides,
    ]  # fmt: skip
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
    before, began = _children_cpu_s(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "claas_assets", *arguments], env=environment, capture_output=True, text=True
    )
    ended = time.monotonic()
    if done.returncode != 0:
        raise SystemExit(f"claas-eval {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Command(began, ended, _children_cpu_s() - before)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(mode: str, snapshots: str, command: Command, seen: Observed) -> str:
    runs = runs_seen(seen.spans)
    limits = Limits(LATENCY_S, int(mode_defaults(mode)["max_concurrency"]))
    first = min(span.began for span in seen.spans if span.request.path == INIT)
    last = max(run.ended for run in runs)
    wall, least = last - first, least_of_all(runs, limits, mode)
    steps = sum(run.steps_s for run in runs) / len(runs)
    least_steps = sum(least_of_steps(run, limits) for run in runs) / len(runs)
    within, between = idle_s(runs, seen.spans)
    cells = [
        mode, snapshots, f"{wall:.2f}", len(seen.spans), seen.peak_concurrency, f"{least:.2f}", f"{wall / least:.2f}",
        f"{steps:.2f}", f"{least_steps:.2f}", f"{steps / least_steps:.2f}", f"{within:.2f}",
        f"{first - command.began:.2f}", f"{between:.2f}", f"{command.ended - last:.2f}", f"{command.cpu_s:.1f}",
        f"{1000 * command.cpu_s / len(seen.spans):.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def idle_s(runs: Sequence[PreferenceRun], spans: Sequence[Span]) -> tuple[float, float]:
    """Seconds without a request in flight: within a preference (what our side takes for itself), and between them."""
    within = between = 0.0
    first, last = min(run.began for run in runs), max(run.ended for run in runs)
    free_since = first
    for span in sorted(spans, key=lambda span: span.began):
        if not first <= span.began <= last:
            continue
        gap = max(0.0, span.began - free_since)
        if any(run.began < span.began <= run.ended for run in runs):
            within += gap
        else:
            between += gap
        free_since = max(free_since, span.ended or span.began)
    return within, between


if __name__ == "__main__":
    main()

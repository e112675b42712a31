"""Does a step cost the same at the end of a long run? `python -m benchmarks.long_run [--steps 500]`.

A real evaluation of 500 steps through Dagster in this process, against a fake deployment in another
process that answers at once; the preference is small (two prompts, two pairs), so that what is measured
is our side and what grows with the run: the journal, scoring against the baseline, Dagster's events.
It prints what a step costs at the 5th and at the 500th (medians over the window around each): wall and
CPU seconds of the whole step, of appending its line, of scoring its snapshot, and of Dagster's events.

`--real` takes `identity` with all metrics instead: minutes rather than half a minute.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event
from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.launch.evaluation import evaluate
from tests.fake_claas.process import FakeProcess
from tests.faults.arena import SMALL

WINDOW = 5  # steps around the one that is shown
PARTS = ("whole step", "journal append", "scoring", "Dagster events")


@dataclass
class Meter:
    """Seconds by part and step: (wall, CPU of this process). A step ends with its `step` event."""

    spent: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(lambda: [[0.0, 0.0]]))
    began: tuple[float, float] = (0.0, 0.0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            wall, cpu = time.monotonic(), time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                now = self.spent[part][-1]
                now[0] += time.monotonic() - wall
                now[1] += time.process_time() - cpu

        return measured

    def __call__(self, event: Event) -> None:
        if event.stage not in ("baseline", "step"):
            return
        now = (time.monotonic(), time.process_time())
        if event.stage == "step":
            self.spent["whole step"][-1] = [now[0] - self.began[0], now[1] - self.began[1]]
        self.began = now
        for part in PARTS:
            if event.stage == "baseline":
                self.spent[part] = []
            self.spent[part].append([0.0, 0.0])

    def around(self, part: str, step: int) -> tuple[float, float]:
        """Medians over the window of steps that ends two after `step`, where there are so many."""
        last = min(step + 2, len(self.spent[part]) - 1)
        window = self.spent[part][max(0, last - WINDOW + 1) : last + 1]
        return statistics.median(w for w, _ in window), statistics.median(c for _, c in window)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Measure the parts where they are called, whoever imported them by name."""
    import dagster as dg

    from claas_assets import definitions  # noqa: F401 - all importers of what is patched are loaded then
    from claas_assets.evaluation.metrics import scoring

    scored = meter.timed("scoring", scoring.score_snapshot)
    with ExitStack() as stack:
        stack.enter_context(patch.object(FileJournal, "append", meter.timed("journal append", FileJournal.append)))
        events = meter.timed("Dagster events", dg.DagsterInstance.handle_new_event)
        stack.enter_context(patch.object(dg.DagsterInstance, "handle_new_event", events))
        for module in list(sys.modules.values()):
            # Not in `scoring` itself: scoring again from the files is no part of a step.
            if module is not scoring and getattr(module, "score_snapshot", None) is scoring.score_snapshot:
                stack.enter_context(patch.object(module, "score_snapshot", scored))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--real", action="store_true", help="identity with all metrics")
    asked = parser.parse_args()
    meter = Meter()
    with FakeProcess("embedded") as fake, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
        (folder / "small.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
        environment = {"DAGSTER_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
        began = time.monotonic()
        with patch.dict(os.environ, environment), metered(meter):
            evaluate(configuration(fake.url, folder, asked.steps, real=asked.real), meter)
        report(meter, asked.steps, time.monotonic() - began, folder)


def configuration(url: str, folder: Path, steps: int, *, real: bool) -> EvalConfig:
    return EvalConfig(
        claas_url=url,
        preferences=("identity",) if real else ("small",),
        preferences_dir=str(Path("preferences").resolve() if real else folder),
        metrics=("logprob", "compliance", "general", "collapse") if real else ("logprob", "compliance"),
        num_steps=steps,
        plots=False,
        output_dir=str(folder / "evals" / "the-run"),
    )


def report(meter: Meter, steps: int, wall_s: float, folder: Path) -> None:
    """Milliseconds a step: its last but one, since the last measures in full."""
    late = steps - 2
    print(f"| ms a step | step 5: wall | CPU | step {late + 1}: wall | CPU |\n| --- | --- | --- | --- | --- |")
    for part in PARTS:
        if not any(wall for wall, _ in meter.spent[part]):
            print(f"| {part} | not seen in this process | | | |")
            continue
        cells = [f"{1000 * seconds:.1f}" for step in (4, late) for seconds in meter.around(part, step)]
        print(f"| {part} | " + " | ".join(cells) + " |")
    lines = next(folder.glob("evals/the-run/*/steps.jsonl")).stat().st_size
    history = sum(path.stat().st_size for path in (folder / "home").rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{wall_s:.0f} s in all; steps.jsonl {lines / 2**20:.1f} MiB, DAGSTER_HOME {history / 2**20:.1f} MiB, ",
        end="",
    )
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()

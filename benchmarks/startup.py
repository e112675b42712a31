"""What starting costs: `python -m benchmarks.startup [--repeats 5]`.

Three commands that do next to nothing, each several times in a fresh process: the median of their wall
time, CPU time, and which heavy packages it imports, in its own process or one that it starts (importtime:
seconds with all that the import brings along, so what another heavy package imports counts in both).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAVY = ("torch", "transformers", "matplotlib", "scipy", "pandas", "numpy", "dagster", "hydra", "httpx", "rich")
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "claas-eval --help": ("-m", "claas_assets", "--help"),
    "claas-eval --cfg job": ("-m", "claas_assets", "--cfg", "job"),
    "dagster asset materialize --select summary": (
        "-m", "dagster", "asset", "materialize", "--select", "summary", "-m", "claas_assets.definitions",
    ),
}  # fmt: skip
_IMPORT = re.compile(r"import time:\s+\d+ \|\s+(\d+) \|\s*(\S+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"| command | wall, median of {repeats} (s) | least | CPU (s) | heavy imports (s) |")
    print("| --- | --- | --- | --- | --- |")
    with example_project() as folder:
        for name, arguments in COMMANDS.items():
            walls, cpu_s = zip(*(run(arguments, folder) for _ in range(repeats)), strict=True)
            heavy = ", ".join(f"{module} {seconds:.2f}" for module, seconds in heavy_imports(arguments, folder).items())
            print(
                f"| {name} | {statistics.median(walls):.2f} | {min(walls):.2f} "
                f"| {statistics.median(cpu_s):.2f} | {heavy or 'none'} |",
                flush=True,
            )


@contextmanager
def example_project() -> Iterator[Path]:
    """A folder to run in: preferences, and `data/example` as a run folder that may be written."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(root / "preferences", folder / "preferences")
        shutil.copytree(root / "data" / "example", folder / "data" / "evals" / "example")
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
        yield folder


def run(arguments: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    before, began = _children_cpu_s(), time.monotonic()
    _finished(arguments, folder)
    return time.monotonic() - began, _children_cpu_s() - before


def heavy_imports(arguments: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Seconds by heavy package, those that are imported."""
    # As -X importtime, which the processes that a command starts would not inherit.
    written = _finished(arguments, folder, PYTHONPROFILEIMPORTTIME="1")
    seconds: dict[str, float] = {}
    for microseconds, module in _IMPORT.findall(written):
        seconds[module] = max(int(microseconds) / 1e6, seconds.get(module, 0.0))
    return {module: seconds[module] for module in HEAVY if module in seconds}


def _finished(arguments: tuple[str, ...], folder: Path, **variables: str) -> str:
    """What it wrote to standard error."""
    environment = {
        **os.environ,
        **variables,
        "DAGSTER_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stderr


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

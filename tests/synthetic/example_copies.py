"""Run folders like that of version 0.1.0 in `tests/data`: its answers, under another name, time and number of steps."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "data" / "example"


def lengthened(lines: list[str], steps: int) -> list[str]:
    """`steps` lines from those of a real run: its light steps again and again, then its last one."""
    chosen = [lines[i % (len(lines) - 1)] for i in range(steps - 1)] + [lines[-1]]
    return [json.dumps({**json.loads(line), "step": step}) for step, line in enumerate(chosen)]


def copy_run(target: Path, created: datetime, *, steps: int | None = None, linked_from: Path | None = None) -> Path:
    """A run like `tests/data/example`, begun at `created`, with another number of steps where that is given.

    `linked_from`: an earlier copy of as many steps, whose large files this one shares.
    """
    for source in sorted(EXAMPLE.glob("*/metadata.json")):
        name, folder = source.parent.name, target / source.parent.name
        folder.mkdir(parents=True)
        for large in ("baseline.json", "steps.jsonl"):
            if linked_from is not None:
                os.link(linked_from / name / large, folder / large)
            elif large == "steps.jsonl" and steps is not None:
                lines = (source.parent / large).read_text(encoding="utf-8").splitlines()
                (folder / large).write_text("\n".join(lengthened(lines, steps)) + "\n", encoding="utf-8")
            else:
                (folder / large).write_bytes((source.parent / large).read_bytes())
        for small in ("collapse.json", "metrics.csv"):
            (folder / small).write_bytes((source.parent / small).read_bytes())
        metadata, verdict = json.loads(source.read_text()), json.loads((source.parent / "verdict.json").read_text())
        metadata["provenance"]["created"], metadata["run_id"] = created.isoformat(), target.name
        if steps is not None:
            metadata["config"]["num_steps"] = verdict["num_steps"] = verdict["steps_recorded"] = steps
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")
        (folder / "verdict.json").write_text(json.dumps(verdict, indent=2), encoding="utf-8")
    return target

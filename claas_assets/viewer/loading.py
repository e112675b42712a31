"""The records of a run for its pages: each file read once while it does not change, and what cannot be read said."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.overview import (
    BASELINE,
    METADATA,
    VERDICT,
    Stamp,
    check_regular,
    file_stamp,
    without_path,
)
from claas_assets.evaluation.storage.journal import STEPS_FILE, FileJournal
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    EvalSnapshot,
    StepRecord,
    StepsHandle,
    VerdictRecord,
)
from claas_assets.evaluation.storage.run_files import read_asset

TABLE = "metrics.csv"
T = TypeVar("T")


@dataclass
class PreferenceRecords:
    """What could be read of one preference. A file that is not there yet is None, and no problem."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    adapter: AdapterRecord | None = None
    verdict: VerdictRecord | None = None
    baseline: EvalSnapshot | None = None
    steps: list[StepRecord] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def num_steps(self) -> int:
        """Steps that were asked for: at least those recorded."""
        asked = self.adapter.config.get("num_steps") if self.adapter else None
        return max(len(self.steps), asked if isinstance(asked, int) else 0)

    @property
    def handle(self) -> StepsHandle:
        lora_id = self.adapter.lora_id if self.adapter else ""
        return StepsHandle(preference=self.name, lora_id=lora_id, num_steps=self.num_steps, steps=self.steps)

    def state(self, name: str) -> EvalSnapshot | None:
        """The snapshot of `baseline` or of a step's number."""
        if name == "baseline":
            return self.baseline
        step = self.step(name)
        return step.eval if step else None

    def step(self, name: str) -> StepRecord | None:
        return next((step for step in self.steps if str(step.step) == name), None)


def load_head(folder: Path) -> PreferenceRecords:
    """The small files: the adapter and the verdict."""
    found = PreferenceRecords(folder)
    found.adapter = _read(found, METADATA, lambda path, stamp: _small("adapter", path, stamp))
    found.verdict = _read(found, VERDICT, lambda path, stamp: _small("verdict", path, stamp))
    if found.adapter is None and not found.problems:
        found.problems.append(f"{METADATA} is missing: the evaluation did not come to make an adapter")
    return found


def load_preference(folder: Path) -> PreferenceRecords:
    """All files of a preference, with every transcript."""
    found = load_head(folder)
    found.baseline = _read(found, BASELINE, _baseline)
    found.steps = _read(found, STEPS_FILE, _steps) or []
    return found


def load_reasons(folder: Path) -> list[tuple[str, str, int]] | None:
    """(quantity, reason, feedback steps before it) of all that `metrics.csv` has no number for; None without the file.

    Raises `RunFolderError` where it cannot be read.
    """
    path = folder / TABLE
    return None if file_stamp(path) is None else _reasons(path, check_regular(path))


def stamps_of(folder: Path) -> tuple[Stamp | None, ...]:
    """What pictures of this preference are made from."""
    return tuple(file_stamp(folder / name) for name in (METADATA, BASELINE, STEPS_FILE, VERDICT))


def _read(found: PreferenceRecords, name: str, read: Callable[[Path, Stamp], T]) -> T | None:
    path = found.folder / name
    if file_stamp(path) is None:
        return None
    try:
        return read(path, check_regular(path))
    except (RunFolderError, ValueError, RecursionError) as error:  # bytes that are no text; brackets without end
        text = without_path(error).replace(f"{found.folder}/", "")
        found.problems.append(text if name in text else f"{name}: {text}")
        return None


@lru_cache(maxsize=256)
def _reasons(path: Path, stamp: Stamp) -> list[tuple[str, str, int]]:
    try:
        rows = read_asset("metric_table", path).rows
        return [(row["quantity"], row["reason"], row["step"] + 1) for row in rows if row["reason"]]
    except (RunFolderError, OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        text = without_path(error).replace(f"{path}: ", "")
        raise RunFolderError(f"{path.name} cannot be read: {text}") from error


@lru_cache(maxsize=256)
def _small(asset: str, path: Path, stamp: Stamp) -> Any:
    return read_asset(asset, path)


# A preference of 20 steps takes some 15 MB as records: room for two runs of three.
@lru_cache(maxsize=6)
def _baseline(path: Path, stamp: Stamp) -> EvalSnapshot:
    snapshot: EvalSnapshot = read_asset("baseline", path)
    return snapshot


@lru_cache(maxsize=6)
def _steps(path: Path, stamp: Stamp) -> list[StepRecord]:
    try:
        return FileJournal(path.parent).read()
    except OSError as error:
        raise RunFolderError(f"{path}: not readable: {error.strerror}") from error

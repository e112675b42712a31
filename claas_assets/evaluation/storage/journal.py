"""`steps.jsonl` and what makes it durable: whole lines, the intent of a feedback call, the folder's lock.

A step's line is appended as soon as the step is complete, and synced. Feedback trains and is not
idempotent, so the intent to send it is on disk before it is sent; after a crash the intent says what
had been sent and what had been answered.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.atomic import sync_folder, write_whole
from claas_assets.evaluation.storage.records import Record, RolloutRecord, StepRecord
from claas_assets.evaluation.storage.stores import exists, fetch, remove

STEPS_FILE = "steps.jsonl"
INTENT_FILE = "intent.json"
TORN_FILE = "steps.torn"
LOCK_FILE = ".lock"


class FeedbackIntent(Record):
    """What one step was about to train on, and how far it came.

    `updates_before`: the adapter's update counter before the step, where the deployment has one.
    `calls_begun` counts calls sent; `answers` holds the metadata of those that were answered. `replaced`:
    the answers that the deployment no longer knew, so that `batch` was generated in their place.
    `rollouts_s` is null where they were generated beside the probes of the step before. `expected_s`: the
    longest feedback of this run so far.
    """

    step: int
    batch: list[RolloutRecord]
    updates_before: int | None
    calls_begun: int = 0
    answers: list[dict[str, Any]] = Field(default_factory=list)
    replaced: list[RolloutRecord] = Field(default_factory=list)
    rollouts_s: float | None = None
    expected_s: float | None = None


class Journal:
    """The steps of one preference in one run folder of this machine; elsewhere, see `object_journal.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / STEPS_FILE

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held while training. Raises `RunFolderError` when another evaluation holds it."""
        path = self._lock_file()
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            holder = _holder(path)
            raise RunFolderError(
                f"{self.folder}: another evaluation is writing here ({holder}). Wait for it, or use another output_dir"
            ) from error
        try:
            path.with_suffix(".holder").write_text(f"process {os.getpid()}", encoding="utf-8")
            yield
        finally:
            path.with_suffix(".holder").unlink(missing_ok=True)
            lock.release()

    def recorded(self) -> bool:
        """Whether anything of a step is there."""
        return exists(self.path)

    def read(self) -> list[StepRecord]:
        """The whole lines, in order. A torn last line is not read (`set_aside_torn_line` removes it)."""
        return [self._parse(line, number) for number, line in enumerate(self._whole_lines())]

    def set_aside_torn_line(self) -> bool:
        """Move what follows the last line end to `steps.torn`; true when there was something."""
        if not self.path.exists():
            return False
        data = self.path.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        if not torn:
            return False
        with open(self.folder / TORN_FILE, "ab") as aside:
            aside.write(torn + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        with open(self.path, "r+b") as file:  # earlier lines keep their bytes
            file.truncate(len(whole) + 1 if whole or data.startswith(b"\n") else 0)
            os.fsync(file.fileno())
        return True

    def append(self, record: StepRecord) -> None:
        """Add one whole line and sync it; then the intent has served."""
        line = record.model_dump_json().encode("utf-8") + b"\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, before)  # a full disk: leave no part of a line behind
            raise _not_written(self.path, error) from error
        sync_folder(self.folder)
        self.clear_intent()

    def intent(self) -> FeedbackIntent | None:
        path = self.folder / INTENT_FILE
        try:
            return FeedbackIntent.model_validate_json(fetch(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise RunFolderError(f"{path}: not a feedback intent of this version: {error}") from error

    def write_intent(self, intent: FeedbackIntent) -> None:
        try:
            write_whole(self.folder / INTENT_FILE, intent.model_dump_json())
        except OSError as error:
            raise _not_written(self.folder / INTENT_FILE, error) from error

    def clear_intent(self) -> None:
        remove(self.folder / INTENT_FILE)

    def finish(self) -> None:
        """Called as training ends. Here every line is in its place already."""

    def _lock_file(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / LOCK_FILE

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        return self.path.read_bytes().split(b"\n")[:-1]

    def _parse(self, line: bytes, number: int) -> StepRecord:
        try:
            record = StepRecord.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise RunFolderError(f"{self._where(number)}: not a step record: {error}") from error
        if record.step != number:
            raise RunFolderError(f"{self._where(number)}: holds step {record.step}, expected {number}")
        return record

    def _where(self, number: int) -> str:
        return f"{self.path}, line {number + 1}"


def _not_written(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path} could not be written ({error.strerror or error}); what was there is whole")


def _holder(lock_path: Path) -> str:
    holder = lock_path.with_suffix(".holder")
    return holder.read_text(encoding="utf-8") if holder.exists() else "unknown process"

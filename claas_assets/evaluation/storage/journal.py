"""`steps.jsonl` and what makes it durable: whole lines, the intent of a feedback call, the folder's lock.

A step's line is appended as soon as the step is complete, and synced. Feedback trains and is not
idempotent, so the intent to send it is on disk before it is sent; after a crash the intent says what
had been sent and what had been answered.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field, ValidationError

from claas_assets.evaluation import foreign_json
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.storage.atomic import json_line, sync_folder, write_whole
from claas_assets.evaluation.storage.folder_lock import folder_lock
from claas_assets.evaluation.storage.records import Record, RolloutRecord, StepRecord
from claas_assets.evaluation.storage.stores import Place, fetch, remove

STEPS_FILE = "steps.jsonl"
INTENT_FILE = "intent.json"
TORN_FILE = "steps.torn"
LOCK_FILE = ".lock"


class FeedbackIntent(Record):
    """What one step was about to train on, and how far it came: `intent.json`."""

    step: int
    """Counted from 0."""

    batch: list[RolloutRecord]
    """The answers that feedback is given on."""

    updates_before: int | None
    """The adapter's update counter before the step; null where the deployment has none."""

    calls_begun: int = 0
    """Feedback calls sent so far."""

    updates_asked: int | None = None
    """Gradient updates asked for in all calls sent, answered or not; null in files of older versions."""

    answers: list[dict[str, Any]] = Field(default_factory=list)
    """What the engine said in each call that was answered, with `updates`: the gradient updates it made."""

    replaced: list[RolloutRecord] = Field(default_factory=list)
    """Answers that the deployment no longer knew; `batch` was generated in their place."""

    rollouts_s: float | None = None
    """Seconds that the batch took; null where it was generated beside the probes of the step before."""

    expected_s: float | None = None
    """Seconds of the longest feedback of this run so far."""

    @property
    def updates(self) -> int:
        """Gradient updates that the answered calls are known to have made."""
        return sum(answer["updates"] for answer in self.answers)


class Journal(Protocol):
    """The steps of one preference in one run folder, and the intent of the feedback that is under way.

    `FileJournal` appends to a file of this machine; `ObjectJournal` puts an object a step into a store.
    What both do alike is written here.
    """

    folder: Place

    def recorded(self) -> bool:
        """Whether anything of a step is there."""
        ...

    def append(self, record: StepRecord) -> None:
        """Record one step durably; then the intent has served. Raises `RunFolderError`."""
        ...

    def set_aside_torn_line(self) -> bool:
        """Move what follows the last line end to `steps.torn`; true when there was something."""
        ...

    def finish(self) -> None:
        """Called as training ends."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Held while training. Raises `RunFolderError` when another evaluation holds it."""
        return folder_lock(self._lock_file(), self.folder)

    def read(self) -> list[StepRecord]:
        """The whole lines, in order. A torn last line is not read (`set_aside_torn_line` removes it)."""
        return [self._parse(line, number) for number, line in enumerate(self._whole_lines())]

    def intent(self) -> FeedbackIntent | None:
        path = self.folder / INTENT_FILE
        try:
            return FeedbackIntent.model_validate(foreign_json.loads(fetch(path).decode("utf-8")))
        except FileNotFoundError:
            return None
        except ValueError as error:
            what = words_of(error) if isinstance(error, ValidationError) else error
            raise RunFolderError(f"{path}: not a feedback intent of this version: {what}") from error

    def write_intent(self, intent: FeedbackIntent) -> None:
        path = self.folder / INTENT_FILE
        try:
            write_whole(path, json_line(intent))
        except OSError as error:
            raise _not_written(path, error) from error

    def clear_intent(self) -> None:
        remove(self.folder / INTENT_FILE)

    def _lock_file(self) -> Path: ...

    def _whole_lines(self) -> Sequence[bytes]: ...

    def _where(self, number: int) -> str:
        """Names the line of step `number`, for an error."""
        ...

    def _parse(self, line: bytes, number: int) -> StepRecord:
        try:
            record = StepRecord.model_validate(foreign_json.loads(line.decode("utf-8")))
        except ValueError as error:
            what = words_of(error) if isinstance(error, ValidationError) else error
            raise RunFolderError(f"{self._where(number)}: not a step record: {what}") from error
        if record.step != number:
            raise RunFolderError(f"{self._where(number)}: holds step {record.step}, expected {number}")
        return record


class FileJournal(Journal):
    """The journal in a run folder of this machine: every step is a line of `steps.jsonl`."""

    folder: Path

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / STEPS_FILE

    def recorded(self) -> bool:
        return self.path.exists()

    def append(self, record: StepRecord) -> None:
        line = json_line(record) + b"\n"
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

    def set_aside_torn_line(self) -> bool:
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

    def finish(self) -> None:
        """Nothing to do: every line is in its place already."""

    def _lock_file(self) -> Path:
        return self.folder / LOCK_FILE

    def _whole_lines(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []

    def _where(self, number: int) -> str:
        return f"{self.path}, line {number + 1}"


def _not_written(path: Place, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path} could not be written ({error.strerror or error}); what was there is whole")

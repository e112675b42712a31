"""A journal where nothing can be appended to: an object a step, `steps/000012.json`, joined as training ends.

A step is recorded when the store has answered its put: a store answers only when the whole object is kept.
The intent of the step's feedback is removed after that. A process that dies between the two leaves an intent
whose step is already recorded; resuming sees the record and does not send that feedback again.

`steps.jsonl` is a copy of all steps for readers, written as training ends. After a run that was stopped it
holds fewer steps than there are objects, or is missing; then the objects are read too. Each object is put as a
new one, so a store that can refuse to overwrite (S3 can) records no step twice, whoever writes.

The lock is a file of this machine, so two evaluations of one run folder on two machines do not exclude each
other: the slower one finds that the other has recorded its step, and ends there, after it has trained.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.lock_folder import lock_folder
from claas_assets.evaluation.storage.atomic import json_line, write_whole
from claas_assets.evaluation.storage.journal import STEPS_FILE, FileJournal, Journal
from claas_assets.evaluation.storage.records import StepRecord
from claas_assets.evaluation.storage.stores import Place, exists, fetch, fetch_all, files_in, put

if TYPE_CHECKING:
    from upath import UPath

STEPS_FOLDER = "steps"
_STEP_OBJECT = re.compile(r"(\d{6})\.json", re.ASCII)


def open_journal(folder: Place) -> Journal:
    """The journal of a preference's folder, wherever it is."""
    return FileJournal(folder) if isinstance(folder, Path) else ObjectJournal(folder)


class ObjectJournal(Journal):
    """The steps of one preference in a run folder that is not on this machine."""

    folder: UPath

    def __init__(self, folder: UPath) -> None:
        self.folder = folder
        self.path = folder / STEPS_FILE

    def recorded(self) -> bool:
        return bool(self._numbers()) or exists(self.path)

    def set_aside_torn_line(self) -> bool:
        return False  # an object is whole or not there

    def append(self, record: StepRecord) -> None:
        line, place = json_line(record) + b"\n", self._object(record.step)
        try:
            put(place, line, new=True)
        except FileExistsError as error:
            if fetch(place) != line:  # the same: put by us, and its answer was lost on the way
                raise RunFolderError(
                    f"{place} is recorded already: another evaluation is writing here, from another machine. End one "
                    "of them; the adapter has been trained by both, so begin again with another output_dir"
                ) from error
        self.clear_intent()

    def finish(self) -> None:
        """Join the objects to `steps.jsonl`."""
        joined = self._joined()
        if further := self._further(len(joined)):
            write_whole(self.path, b"".join(line + b"\n" for line in [*joined, *further]))

    def _whole_lines(self) -> list[bytes]:
        joined = self._joined()
        return [*joined, *self._further(len(joined))]

    def _joined(self) -> list[bytes]:
        try:
            return fetch(self.path).split(b"\n")[:-1]
        except FileNotFoundError:
            return []

    def _further(self, first: int) -> list[bytes]:
        """The lines of the objects from step `first` on, one for each."""
        numbers = [number for number in self._numbers() if number >= first]
        for expected, number in enumerate(numbers, first):
            if number != expected:
                raise RunFolderError(f"{self._object(expected)} is missing, and step {number} is there")
        return [data.removesuffix(b"\n") for data in fetch_all([self._object(number) for number in numbers])]

    def _numbers(self) -> list[int]:
        names = [_STEP_OBJECT.fullmatch(file.name) for file in files_in(self.folder / STEPS_FOLDER)]
        return sorted(int(match.group(1)) for match in names if match is not None)

    def _object(self, step: int) -> UPath:
        return self.folder / STEPS_FOLDER / f"{step:06d}.json"

    def _where(self, number: int) -> str:
        return f"{self.folder}, step {number} ({self.path.name} or {STEPS_FOLDER}/{number:06d}.json)"

    def _lock_file(self) -> Path:
        address = str(self.folder)
        if self.folder.protocol == "memory":  # every process has a memory of its own
            address += f" of process {os.getpid()}"
        return lock_folder() / f"run-{hashlib.sha256(address.encode()).hexdigest()[:16]}.lock"

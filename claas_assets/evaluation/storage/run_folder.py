"""A run folder, typed: each file is read as its record and written as a whole.

    run = RunFolder(place_at("data/evals/20261124-101500Z"))
    run.preference("identity").verdict()

A file that is not there yet is None (or no steps); one that is not what it should be is a `RunFolderError`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from claas_assets.evaluation import foreign_json
from claas_assets.evaluation.errors import NoSuchRun, RunFolderError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.atomic import to_json, write_whole
from claas_assets.evaluation.storage.journal import STEPS_FILE
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import (
    METRIC_COLUMNS,
    AdapterRecord,
    CollapseRecord,
    EvalSnapshot,
    MetricTable,
    Record,
    ScoresRecord,
    StepRecord,
    Summary,
    TrainingRecord,
    VerdictRecord,
)
from claas_assets.evaluation.storage.stamps import check_regular, file_stamp
from claas_assets.evaluation.storage.stores import (
    Place,
    exists,
    fetch,
    files_in,
    folders_in,
    place_at,
    read_text,
    remove,
)

METADATA_FILE, BASELINE_FILE = "metadata.json", "baseline.json"
SCORES_FILE, TABLE_FILE, COLLAPSE_FILE, VERDICT_FILE = "scores.json", "metrics.csv", "collapse.json", "verdict.json"
SUMMARY_FILE, PLOTS_FOLDER, REPORT_FILE = "summary.json", "plots", "report.html"
PREFERENCE_FILES = (
    METADATA_FILE, BASELINE_FILE, STEPS_FILE, SCORES_FILE, TABLE_FILE, COLLAPSE_FILE, VERDICT_FILE,
)  # fmt: skip

KEPT_FOLDER = "adapters"
_KEPT = re.compile(r"step-(\d{1,9})\.(?:zip|json)", re.ASCII)

MAX_RECORD_BYTES = 64 * 2**20
"""Of a file that holds one record, in a guarded folder: a baseline in full has less than one MB."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class PreferenceFolder:
    """`<run folder>/<preference>`: the records of one preference."""

    path: Place
    guarded: bool = False
    """Links, pipes and files of a size that no record has are refused: for pages that show anybody's folders."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def run_id(self) -> str:
        return self.path.parent.name

    def has(self, file: str) -> bool:
        """Whether `file` is there; of `steps.jsonl`, whether a step is recorded."""
        return open_journal(self.path).recorded() if file == STEPS_FILE else exists(self.path / file)

    # --- reading ---

    def adapter(self) -> AdapterRecord:
        """Raises `RunFolderError` where there is none: nothing else of a preference means anything then."""
        return self._record(METADATA_FILE, AdapterRecord)

    def written_sweep(self) -> str | None:
        """The sweep that `metadata.json` names, also where another key of it is broken; None where it names none.

        A run that cannot be read is shown as broken among the runs of its sweep, where it would be missed.
        """
        try:
            self._check(METADATA_FILE)
            written = json.loads(foreign_json.without_lone_surrogates(_text(self.path / METADATA_FILE)))
            sweep = written["config"]["sweep_id"]
        except (RunFolderError, OSError, ValueError, KeyError, TypeError, RecursionError):  # it names none
            return None
        return sweep if isinstance(sweep, str) else None

    def baseline(self) -> EvalSnapshot | None:
        snapshot = self._if_there(BASELINE_FILE, EvalSnapshot)
        if snapshot is not None and not snapshot.model_fields_set:
            raise RunFolderError(f"{self.path / BASELINE_FILE} holds no measurement at all: remove it to measure again")
        return snapshot

    def steps(self) -> list[StepRecord]:
        """Empty where it only measures, or has not trained yet."""
        self._check(STEPS_FILE)
        try:
            steps = open_journal(self.path).read()
        except OSError as error:
            raise RunFolderError(f"{self.path / STEPS_FILE} cannot be read: {error.strerror}") from error
        foreign = next((record for record in steps if record.preference != self.name), None)
        if foreign is not None and foreign.preference not in self._phases():
            raise RunFolderError(
                f"{self.path / STEPS_FILE}: step {foreign.step} is of the preference {foreign.preference!r}, and this "
                f"is the folder of {self.name!r}"
            )
        return steps

    def _phases(self) -> list[str]:
        """The preferences that are trained here, of a sequence."""
        sequence = self.adapter().sequence if self.has(METADATA_FILE) else None
        return [] if sequence is None else sequence.preferences

    def steps_recorded(self) -> int:
        """How many steps there are, without reading what they hold where that is possible."""
        if not isinstance(self.path, Path):
            return len(self.steps())
        self._check(STEPS_FILE)
        try:
            with open(self.path / STEPS_FILE, "rb") as file:
                return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise RunFolderError(f"{self.path / STEPS_FILE} cannot be read: {error.strerror}") from error

    def training(self) -> TrainingRecord:
        """Adapter, baseline and steps together."""
        return TrainingRecord(adapter=self.adapter(), baseline=self.baseline(), steps=self.steps())

    def scores(self) -> ScoresRecord | None:
        return self._if_there(SCORES_FILE, ScoresRecord)

    def metric_table(self) -> MetricTable | None:
        path = self.path / TABLE_FILE
        if not exists(path):
            return None
        self._check(TABLE_FILE)
        try:
            return MetricTable(run_id=self.run_id, preference=self.name, rows=_from_csv(_text(path)))
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunFolderError(f"{path} cannot be read: not a metric table of this version: {error}") from error

    def collapse(self) -> CollapseRecord | None:
        return self._if_there(COLLAPSE_FILE, CollapseRecord)

    def verdict(self) -> VerdictRecord | None:
        """It may be of fewer steps than are recorded by now: see `records.current`."""
        return self._if_there(VERDICT_FILE, VerdictRecord)

    def _if_there(self, file: str, kind: type[R]) -> R | None:
        return self._record(file, kind) if exists(self.path / file) else None

    def _record(self, file: str, kind: type[R]) -> R:
        if self._check(file) > MAX_RECORD_BYTES:
            raise RunFolderError(f"{self.path / file} is larger than any such file ({MAX_RECORD_BYTES} bytes)")
        return _record(self.path / file, kind)

    def _check(self, file: str) -> int:
        """The size in bytes where the folder is guarded and the file is there, else 0. Raises `RunFolderError`."""
        if not self.guarded or not isinstance(self.path, Path) or file_stamp(self.path / file) is None:
            return 0
        return check_regular(self.path / file)[1]

    def kept_steps(self) -> list[int]:
        """The steps whose adapter is kept here, counted from 0."""
        found = (_KEPT.fullmatch(file.name) for file in files_in(self.path / KEPT_FOLDER))
        return sorted(int(name.group(1)) for name in found if name)

    def kept(self, step: int) -> Place | None:
        """The file of the adapter after `step`; None where it is not kept."""
        names = (self.path / KEPT_FOLDER / f"step-{step}.{kind}" for kind in ("zip", "json"))
        return next((file for file in names if exists(file)), None)

    def kept_path(self, step: int) -> str | None:
        """The checkpoint's path on Tinker, of the adapter after `step`."""
        path = self.path / KEPT_FOLDER / f"step-{step}.json"
        try:
            return str(foreign_json.loads(_text(path))["model_path"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path} cannot be read: no model_path ({error})") from error

    # --- writing ---

    def write_kept(self, step: int, content: bytes | str, kind: str) -> None:
        """The adapter after `step`: a `zip`, or the `json` that says where it lies."""
        write_whole(self.path / KEPT_FOLDER / f"step-{step}.{kind}", content)

    def write_adapter(self, record: AdapterRecord) -> None:
        _write(self.path / METADATA_FILE, record)

    def write_baseline(self, record: EvalSnapshot) -> None:
        _write(self.path / BASELINE_FILE, record)

    def write_scores(self, record: ScoresRecord) -> None:
        _write(self.path / SCORES_FILE, record)

    def write_metric_table(self, record: MetricTable) -> None:
        write_whole(self.path / TABLE_FILE, _as_csv(record))

    def write_collapse(self, record: CollapseRecord) -> None:
        _write(self.path / COLLAPSE_FILE, record)

    def write_verdict(self, record: VerdictRecord) -> None:
        _write(self.path / VERDICT_FILE, record)


@dataclass(frozen=True)
class RunFolder:
    """`<results folder>/<run id>`: the preferences of one evaluation, and what is made of all of them."""

    path: Place

    @property
    def run_id(self) -> str:
        return self.path.name

    def preference(self, name: str) -> PreferenceFolder:
        """Its folder, whether or not it is there."""
        return PreferenceFolder(self.path / name)

    def preferences(self) -> list[PreferenceFolder]:
        """Those that have an adapter, by name."""
        folders = [PreferenceFolder(folder) for folder in folders_in(self.path)]
        return [folder for folder in folders if folder.has(METADATA_FILE)]

    def summary(self) -> Summary:
        """Raises `RunFolderError` where there is none."""
        path = self.path / SUMMARY_FILE
        try:
            entries = foreign_json.loads(_text(path)).items()
            return {name: VerdictRecord.model_validate(entry) for name, entry in entries}
        except ValidationError as error:
            raise RunFolderError(f"{path} cannot be read: {words_of(error)}") from error
        except (ValueError, AttributeError) as error:
            raise RunFolderError(f"{path} cannot be read: not a summary of this version: {error}") from error

    def plots(self) -> dict[str, bytes]:
        """File name → PNG."""
        return {picture.name: fetch(picture) for picture in self._pictures()}

    def write_summary(self, summary: Summary) -> None:
        entries = {name: entry.model_dump(mode="json") for name, entry in summary.items()}
        write_whole(self.path / SUMMARY_FILE, to_json(entries))

    def write_plots(self, plots: Mapping[str, bytes]) -> None:
        for name, picture in plots.items():
            write_whole(self.path / PLOTS_FOLDER / name, picture)
        for old in self._pictures():
            if old.name not in plots:
                remove(old)  # a figure that this run no longer draws would be taken for a current one

    def write_report(self, html: str) -> None:
        write_whole(self.path / REPORT_FILE, html.encode("utf-8", "replace"))

    def _pictures(self) -> list[Any]:
        return [file for file in files_in(self.path / PLOTS_FOLDER) if file.name.endswith(".png")]


def find_run(named: str, results_dir: Place) -> RunFolder:
    """The run folder that `named` is: a folder, or an id below `results_dir`. Raises `NoSuchRun`."""
    for folder in [place_at(named), *([] if is_address(named) else [results_dir / named])]:
        if RunFolder(folder).preferences():
            return RunFolder(folder)
    raise NoSuchRun(f"{named}: no run folder, neither by itself nor below {results_dir}: none has an adapter in it")


# --- files --------------------------------------------------------------------------------------


def _record(path: Place, kind: type[R]) -> R:
    try:
        return kind.model_validate(foreign_json.loads(_text(path)))
    except ValidationError as error:
        raise RunFolderError(f"{path} cannot be read: {words_of(error)}") from error
    except ValueError as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from error


def _write(path: Place, record: Record) -> None:
    write_whole(path, to_json(record.model_dump(mode="json")))


def _text(path: Place) -> str:
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is missing") from error
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error


def _as_csv(table: MetricTable) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=METRIC_COLUMNS, lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    writer.writerows(table.rows)
    return buffer.getvalue()


def _from_csv(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    if rows and (absent := set(METRIC_COLUMNS) - rows[0].keys()):
        raise ValueError(f"without the columns {', '.join(sorted(absent))}")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"line {number} has another number of cells than the header")
        for column in ("value", "lower", "upper"):
            row[column] = _number(row[column])
        for column in ("n", "missing"):
            row[column] = _count(row[column]) if row[column] else None
        row["step"] = _count(row["step"])
    return rows


def _number(cell: str) -> float | bool | None:
    if cell in ("True", "False"):  # `unit` is bool
        return cell == "True"
    if cell and not math.isfinite(float(cell)):
        raise ValueError(f"{cell[:40]!r} is not a finite number")
    return float(cell) if cell else None


def _count(cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", cell, re.ASCII):
        raise ValueError(f"{cell[:40]!r} is no whole number")
    return int(cell)

"""A run as a row of the list: its state in words, its verdicts, and what is broken, from its small files."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.journal import LOCK_FILE, STEPS_FILE
from claas_assets.evaluation.storage.records import Interval, Overall

RunState = Literal["running", "interrupted", "broken", "complete", "waiting"]
Stamp = tuple[int, int]
"""Modification time (ns) and size: what a cached reading is valid for."""

METADATA, BASELINE, VERDICT, HOLDER = "metadata.json", "baseline.json", "verdict.json", f"{LOCK_FILE}.holder"
WATCHED = (METADATA, BASELINE, VERDICT, STEPS_FILE, HOLDER)
"""The files of a preference that change what a list shows of it."""

MAX_SMALL_FILE = 16 * 2**20  # bytes: a metadata or verdict file of more is none
_NOT_REGULAR: Stamp = (-1, -1)


@dataclass(frozen=True, slots=True)
class PreferenceOverview:
    """`baseline`, `change` and `interval` are those of the verdict's compliance criterion; None without one.

    `words` say how far it came ("step 3 of 20"), or what is wrong.
    """

    name: str
    state: RunState
    words: str
    overall: Overall | None = None
    baseline: float | None = None
    value: float | None = None
    change: float | None = None
    interval: Interval | None = None
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A row of the list. `created` is None where no file records it; then `age` is the folder's own time.

    `sweep_id` is that of its first preference; None where it is part of no sweep.
    """

    run_id: str
    created: str | None
    age: float  # seconds since the epoch: the order of the list
    deployment: str
    mode: str
    model: str
    state: RunState
    words: str
    preferences: tuple[PreferenceOverview, ...]
    sweep_id: str | None = None


class _Slim(BaseModel):
    """Only what a list shows: the other 95 % of a file are checked by the reader of its page."""


class _Deployment(_Slim):
    name: str | None = None


class _Provenance(_Slim):
    created: datetime
    deployment: _Deployment = _Deployment()


class _Config(_Slim):
    num_steps: int
    mode: str = ""
    base_model: str = ""
    preferences: list[str] = Field(default_factory=list)
    sweep_id: str | None = None


class _Metadata(_Slim):
    config: _Config
    provenance: _Provenance


class _Criterion(_Slim):
    baseline: float | None = None
    value: float | None = None
    change: float | None = None
    interval: Interval | None = None


class _Criteria(_Slim):
    compliance: _Criterion = _Criterion()


class _Verdict(_Slim):
    overall: Overall
    criteria: _Criteria
    alerts: list[str] = Field(default_factory=list)
    steps_recorded: int = 0


_S = TypeVar("_S", bound=_Slim)


def _read_small(path: Path, model: type[_S]) -> _S:
    _, size = check_regular(path)
    if size > MAX_SMALL_FILE:
        raise RunFolderError(f"{path.name} has {size} bytes, which no such file has")
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunFolderError(f"{path.name} cannot be read: {where}{': ' if where else ''}{first['msg']}") from error
    except OSError as error:
        raise RunFolderError(f"{path.name} cannot be read: {error.strerror}") from error


def make_overview(folder: Path, found: dict[str, tuple[Stamp | None, ...]], alive: dict[str, bool]) -> RunOverview:
    metadata = {name: _metadata_or_reason(folder / name) for name in found}
    read = [m for m in metadata.values() if isinstance(m, _Metadata)]
    rows = [_preference(folder / name, found[name], metadata[name], alive[name]) for name in found]
    if any(alive.values()):
        expected = {name for m in read for name in m.config.preferences} - set(found)
        rows += [PreferenceOverview(name, "waiting", "not started yet") for name in sorted(expected)]
    created = min((_in_utc(m.provenance.created) for m in read), default=None)
    first = read[0] if read else None
    state, words = _state_of(rows)
    return RunOverview(
        run_id=folder.name,
        created=created.isoformat(timespec="seconds") if created else None,
        age=created.timestamp() if created else _folder_time(folder),
        deployment=(first.provenance.deployment.name or "") if first else "",
        mode=first.config.mode if first else "",
        model=first.config.base_model if first else "",
        state=state,
        words=words,
        preferences=tuple(rows),
        sweep_id=first.config.sweep_id if first else None,
    )


def _metadata_or_reason(folder: Path) -> _Metadata | str:
    try:
        return _read_small(folder / METADATA, _Metadata)
    except RunFolderError as error:
        return str(error)


def _preference(
    folder: Path, stamps: tuple[Stamp | None, ...], metadata: _Metadata | str, alive: bool
) -> PreferenceOverview:
    has = dict(zip(WATCHED, stamps, strict=True))
    if isinstance(metadata, str):
        starting = alive and has[METADATA] is None
        return PreferenceOverview(
            folder.name, "running" if starting else "broken", "starting" if starting else metadata
        )
    try:
        verdict = _read_small(folder / VERDICT, _Verdict) if has[VERDICT] else None
        recorded = _steps_recorded(folder, has[STEPS_FILE], has[VERDICT], verdict)
    except RunFolderError as error:
        return PreferenceOverview(folder.name, "broken", str(error))
    asked = max(metadata.config.num_steps, recorded)
    current = verdict is not None and verdict.overall != "unfinished" and verdict.steps_recorded == recorded == asked
    state, words = _progress(recorded, asked, has_baseline=bool(has[BASELINE]), alive=alive, judged=current)
    if verdict is None or not current:
        return PreferenceOverview(folder.name, state, words)
    found = verdict.criteria.compliance
    return PreferenceOverview(
        name=folder.name, state=state, words=words, overall=verdict.overall, baseline=found.baseline,
        value=found.value, change=found.change, interval=found.interval, alerts=tuple(verdict.alerts),
    )  # fmt: skip


def _progress(recorded: int, asked: int, *, has_baseline: bool, alive: bool, judged: bool) -> tuple[RunState, str]:
    if alive:
        step = f"step {recorded + 1} of {asked}" if recorded < asked else f"all {asked} steps are recorded"
        return "running", step if has_baseline else "baseline"
    if judged:
        return "complete", f"{recorded} of {asked} steps"
    if not has_baseline:
        return "interrupted", "before the baseline was whole"
    if recorded < asked:
        return "interrupted", f"after {recorded} of {asked} steps"
    return "interrupted", f"all {asked} steps are recorded, no verdict for them"


def _steps_recorded(folder: Path, steps: Stamp | None, judged: Stamp | None, verdict: _Verdict | None) -> int:
    """From the verdict, where it is younger than the steps: then their file is not opened."""
    if steps is None:
        return 0
    if verdict is not None and judged is not None and judged >= steps:
        return verdict.steps_recorded
    check_regular(folder / STEPS_FILE)
    try:
        with open(folder / STEPS_FILE, "rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
    except OSError as error:
        raise RunFolderError(f"{STEPS_FILE} cannot be read: {error.strerror}") from error


def _state_of(rows: list[PreferenceOverview]) -> tuple[RunState, str]:
    """The state that most needs to be seen, and the words of those that are in it."""
    order: tuple[RunState, ...] = ("running", "broken", "interrupted")
    for state in order:
        found = [row for row in rows if row.state == state]
        if found:
            return state, "; ".join(f"{row.name}: {row.words}" for row in found)
    return "complete", f"{len(rows)} preference{'s'[: len(rows) > 1]}"


def _in_utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _folder_time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


# --- files ----------------------------------------------------------------------------------


def file_stamp(path: Path | str) -> Stamp | None:
    """None where there is no file; a link, a pipe or a folder has a stamp that `read_small` refuses."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else _NOT_REGULAR


def check_regular(path: Path) -> Stamp:
    """The stamp of a regular file. Raises `RunFolderError` for anything else, and where there is none."""
    stamp = file_stamp(path)
    if stamp is None:
        raise RunFolderError(f"{path.name} is missing")
    if stamp == _NOT_REGULAR:
        raise RunFolderError(f"{path.name} is not a regular file (links are not followed): put the file itself there")
    return stamp


def without_path(error: Exception, limit: int = 300) -> str:
    """An error as one short line: validation errors quote their input over many lines."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[:limit]} …"

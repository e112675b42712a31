"""Which run folders there are, which may go, and how one goes: whole, under its locks, no link followed.

A run folder is a folder directly below the results folder with at least one `<preference>/metadata.json`
that can be read. Anything else there is refused, with the reason, and left alone.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from claas_assets.evaluation.errors import ConfigError, NoSuchRun, RunFolderError
from claas_assets.evaluation.storage.journal import LOCK_FILE
from claas_assets.evaluation.storage.names import check_run_id, is_preference_name
from claas_assets.evaluation.storage.records import AdapterRecord, judged, moment_of
from claas_assets.evaluation.storage.run_folder import METADATA_FILE, PreferenceFolder
from claas_assets.evaluation.storage.stamps import file_stamp

PIN_FILE = ".pinned"
STARTING = timedelta(hours=1)
"""A run without a verdict that began less than this ago may be measuring its baseline, which takes no lock."""

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class StoredRun:
    """A run folder as what may be deleted."""

    path: Path
    created: datetime
    """As its oldest adapter records it, UTC."""
    adapters: dict[str, AdapterRecord]
    """By preference."""
    complete: bool
    """Whether each preference has every step that was asked for, and a verdict for them."""
    size_bytes: int

    @property
    def pinned(self) -> bool:
        return os.path.lexists(self.path / PIN_FILE)


def parse_age(text: str) -> timedelta:
    """ "90d" → 90 days; h, d and w are known. Raises `ConfigError`."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text, re.ASCII)
    if match is None:
        raise ConfigError(f"{text!r} is not an age: a number and h, d or w, for example 90d")
    return timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})


def read_runs(results_dir: Path) -> tuple[list[StoredRun], dict[Path, str]]:
    """The runs below `results_dir`, newest first by their recorded creation, and what is none, with the reason.

    Raises `NoSuchRun` where there is no such folder.
    """
    if not results_dir.is_dir():
        raise NoSuchRun(f"{results_dir} is not a folder: name the folder that holds the run folders")
    runs, refused = [], {}
    for path in sorted(results_dir.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            runs.append(read_run(path))
        except (RunFolderError, ConfigError) as error:
            refused[path] = str(error)
    return sorted(runs, key=lambda run: (run.created, run.path.name), reverse=True), refused


def read_run(path: Path) -> StoredRun:
    """Raises `RunFolderError` where `path` is not a run folder, `ConfigError` where its name is none."""
    check_run_id(path.name)
    if path.is_symlink() or not path.is_dir():
        raise RunFolderError(f"{path} is a {'link' if path.is_symlink() else 'file'}, not a run folder")
    folders = [p for p in sorted(path.iterdir()) if is_preference_name(p.name) and p.is_dir() and not p.is_symlink()]
    held = [PreferenceFolder(p, guarded=True) for p in folders if file_stamp(p / METADATA_FILE) is not None]
    adapters = {folder.name: folder.adapter() for folder in held}
    if not adapters:
        raise RunFolderError(f"{path} is not a run folder: it has no <preference>/metadata.json")
    return StoredRun(
        path=path,
        created=min(moment_of(adapter.provenance.created) for adapter in adapters.values()),
        adapters=adapters,
        complete=all(_is_complete(folder, adapters[folder.name]) for folder in held),
        size_bytes=_size(path),
    )


def _is_complete(folder: PreferenceFolder, adapter: AdapterRecord) -> bool:
    sequence = adapter.sequence
    asked = adapter.config.get("num_steps") if sequence is None else sequence.num_steps
    # A record that does not say how many is not complete: nothing of it may go.
    return isinstance(asked, int) and judged(folder.verdict(), folder.steps_recorded(), asked) is not None


def _size(folder: Path) -> int:
    return sum(os.lstat(Path(root) / name).st_size for root, _, names in os.walk(folder) for name in names)


# --- choosing ---------------------------------------------------------------------------------


def why_kept(runs: Sequence[StoredRun], *, keep: int | None, older_than: timedelta | None, now: datetime) -> list[str]:
    """For each of `runs` (newest first) why it stays, or "" where it may go: both bounds must allow it, where given."""
    return [_why(run, index, keep, older_than, now) for index, run in enumerate(runs)]


def _why(run: StoredRun, index: int, keep: int | None, older_than: timedelta | None, now: datetime) -> str:
    if run.pinned:
        return "pinned"
    if keep is not None and index < keep:
        return f"one of the newest {keep}"
    if older_than is not None and now - run.created <= older_than:
        return f"not older than {older_than.days} days" if older_than.days else f"not older than {older_than}"
    if is_running(run):
        return "running: its lock is held"
    if not run.complete and now - run.created < STARTING:
        return "it began within the last hour and has no verdict: it may be running"
    return ""


def is_running(run: StoredRun) -> bool:
    """Whether an evaluation holds the lock of one of its preferences."""
    try:
        with _locks(run):
            return False
    except RunFolderError:
        return True


# --- deleting -----------------------------------------------------------------------------------


def delete_run(run: StoredRun) -> None:
    """Delete the folder. Raises `RunFolderError` where it is running, pinned or no longer a run folder.

    It is renamed first, under its locks: nobody sees half of it, and nobody goes on in it.
    """
    read_run(run.path)
    if run.pinned:
        raise RunFolderError(f"{run.path} is pinned")
    with _locks(run):
        doomed = run.path.with_name(f".{run.path.name}.pruned")
        if os.path.lexists(doomed):
            raise RunFolderError(f"{doomed} is in the way: an earlier prune was interrupted; delete it by hand")
        run.path.rename(doomed)
        shutil.rmtree(doomed)  # removes links, does not follow them


@contextlib.contextmanager
def _locks(run: StoredRun) -> Iterator[None]:
    """Hold every lock file that is there. Raises `RunFolderError` where another process holds one."""
    with contextlib.ExitStack() as stack:
        for preference in run.adapters:
            _lock(stack, run.path / preference / LOCK_FILE)
        yield


def _lock(stack: contextlib.ExitStack, path: Path) -> None:
    """As `filelock` does, but without creating a file, and without following a link."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RunFolderError(f"{path} is a link: whether the run goes on cannot be told") from error
        raise
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RunFolderError(f"{path.parent}: an evaluation is writing here") from error


def set_pin(results_dir: Path, run_id: str, pinned: bool) -> Path:
    """Pin a run folder, or unpin it; returns the folder."""
    run = read_run(results_dir / check_run_id(run_id))
    pin = run.path / PIN_FILE
    if pinned:
        pin.touch(exist_ok=True)
    else:
        pin.unlink(missing_ok=True)
    return run.path

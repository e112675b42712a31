"""What a results folder holds, read for a list: fast, from small files, and a broken run is shown as such.

    <results_dir>/<run id>/<preference>/{metadata,verdict}.json   read
                                        steps.jsonl               its lines counted, where no verdict says how many
                                        .lock.holder              who trains here

Nothing here takes the folder's lock: even a shared one, held for a moment, would make an evaluation that
is just starting believe that another is writing there.
"""

import os
import re
import threading
from pathlib import Path
from typing import Any

import psutil

from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.runs.overview import HOLDER_FILE, WATCHED, RunOverview, make_overview
from claas_assets.evaluation.storage.names import check_run_id, is_preference_name
from claas_assets.evaluation.storage.stamps import Stamp, file_stamp


def list_runs(results_dir: Path) -> list[RunOverview]:
    """Every run below `results_dir`, newest first by the creation time that it records.

    A folder that is not there holds no runs. Symbolic links that lead out of it are not followed.
    """
    try:
        with os.scandir(results_dir) as entries:
            folders = [Path(entry.path) for entry in entries if _is_run_folder(entry, results_dir)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"{results_dir}: not readable: {error.strerror}") from error
    _forget_others(results_dir, folders)
    runs = [run for folder in folders if (run := run_overview(folder)) is not None]
    return sorted(runs, key=lambda run: (run.age, run.run_id), reverse=True)


def run_overview(folder: Path) -> RunOverview | None:
    """One run, from the cache where none of its files changed. None where the folder holds no run."""
    there = {name: _stamps(folder / name) for name in preference_names(folder)}
    there = {name: stamps for name, stamps in there.items() if any(stamps)}
    if not there:
        return None
    alive = {name: bool(s[-1]) and holder_is_alive(folder / name / HOLDER_FILE) for name, s in there.items()}
    fingerprint = (there, alive)
    with _lock:
        known = _cache.get(str(folder))
    if known is not None and known[0] == fingerprint:
        return known[1]
    overview = make_overview(folder, there, alive)
    with _lock:
        _cache[str(folder)] = (fingerprint, overview)
    return overview


def preference_names(run_folder: Path) -> list[str]:
    """Folders of a run that may hold a preference, by name; links are none."""
    try:
        with os.scandir(run_folder) as entries:
            return sorted(e.name for e in entries if is_preference_name(e.name) and e.is_dir(follow_symlinks=False))
    except OSError:
        return []  # removed while it was read, or closed to us: as if it were not there


# --- who trains there ---------------------------------------------------------------------------

_PID = re.compile(r"process (\d{1,10})", re.ASCII)
_CLOCKS_DIFFER_S = 2.0


def holder_is_alive(path: Path) -> bool:
    """Whether the process that a `.lock.holder` file names is there, and began before it wrote the file.

    A process number is given again: whoever began after the file was written is somebody else. False for a
    process of another machine that shares the folder: it cannot be seen from here.
    """
    try:
        written = path.stat().st_mtime
        named = _PID.fullmatch(path.read_text(encoding="utf-8").strip())
        if named is None:
            return False
        process = psutil.Process(int(named.group(1)))
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= written + _CLOCKS_DIFFER_S
    except (OSError, UnicodeDecodeError):
        return False  # removed at this moment, by the holder that ended; or not written by a holder
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True  # somebody else's process: it is there


# --- the cache ------------------------------------------------------------------------------

_cache: dict[str, tuple[Any, RunOverview]] = {}
_lock = threading.Lock()


def _forget_others(results_dir: Path, folders: list[Path]) -> None:
    """Runs that were removed must not fill the memory of a server that runs for months."""
    there, prefix = {str(folder) for folder in folders}, f"{results_dir}{os.sep}"
    with _lock:
        for key in [key for key in _cache if key.startswith(prefix) and key not in there]:
            del _cache[key]


def _stamps(folder: Path) -> tuple[Stamp | None, ...]:
    base = str(folder)
    return tuple(file_stamp(f"{base}{os.sep}{name}") for name in WATCHED)


def _is_run_folder(entry: os.DirEntry[str], results_dir: Path) -> bool:
    try:
        check_run_id(entry.name)
    except ConfigError:
        return False
    if entry.is_symlink():
        return Path(entry.path).resolve().is_relative_to(results_dir.resolve()) and entry.is_dir()
    return entry.is_dir(follow_symlinks=False)

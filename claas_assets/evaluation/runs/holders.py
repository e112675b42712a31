"""Whether the process that a `.lock.holder` file names still trains: without touching its lock."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

_PID = re.compile(r"process (\d{1,10})", re.ASCII)
_CLOCKS_DIFFER_S = 2.0


def holder_is_alive(path: Path) -> bool:
    """Whether the holder's process is there, and began before it wrote the file.

    False for a process of another machine that shares the folder: it cannot be seen from here.
    """
    try:
        written = path.stat().st_mtime
        found = _PID.fullmatch(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return False  # removed at this moment, by the holder that ended; or not written by a holder
    if found is None or not _is_running(pid := int(found.group(1))):
        return False
    began = _began(pid)
    # A number is given again: whoever began after the file was written is somebody else.
    return began is None or began <= written + _CLOCKS_DIFFER_S


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's process
    return True


def _began(pid: int) -> float | None:
    """Start of the process in seconds since the epoch; infinity for a zombie; None where it cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[0] == "Z":
            return float("inf")
        return _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None  # not Linux, or it ended meanwhile


@cache
def _boot_time() -> float:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise ValueError("/proc/stat has no btime")

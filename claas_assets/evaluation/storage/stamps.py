"""When a file of this machine last changed, and whether it is a file: links, pipes and folders are refused."""

import os
import stat
from pathlib import Path

from claas_assets.evaluation.errors import RunFolderError

Stamp = tuple[int, int]
"""Modification time (ns) and size in bytes: what a cached reading is valid for."""

_NOT_REGULAR: Stamp = (-1, -1)


def file_stamp(path: Path | str) -> Stamp | None:
    """None where there is no file. A link, a pipe or a folder has a stamp that `check_regular` refuses."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else _NOT_REGULAR


def check_regular(path: Path) -> Stamp:
    """The stamp of a regular file. Raises `RunFolderError` for anything else, and where there is none."""
    stamp = file_stamp(path)
    if stamp is None:
        raise RunFolderError(f"{path} is missing")
    if stamp == _NOT_REGULAR:
        raise RunFolderError(f"{path} is not a regular file (links are not followed): put the file itself there")
    return stamp

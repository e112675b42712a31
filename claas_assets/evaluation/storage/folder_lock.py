"""One evaluation at a time in a run folder: a file lock, which the system frees when its process ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.stores import Place


@contextlib.contextmanager
def folder_lock(lock_file: Path, locked: Place) -> Iterator[None]:
    """Hold `lock_file`, and name this process beside it. Raises `RunFolderError` where another holds it.

    `locked` is the folder that the lock is for, and that the error names.
    """
    lock, holder = FileLock(lock_file, fallback_to_soft=False), lock_file.with_suffix(".holder")
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "unknown process"
        raise RunFolderError(
            f"{locked}: another evaluation is writing here ({who}). Wait for it, or use another output_dir"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise RunFolderError(
            f"{lock_file} cannot be locked ({error}). Two evaluations in one folder would train twice, so use an "
            "output_dir on a file system that locks files, such as a local disk"
        ) from error
    try:
        holder.write_text(f"process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()

"""Where the locks of this machine lie: what must not run twice at once names a file here."""

import contextlib
import os
import tempfile
import time
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from claas_assets.evaluation.errors import EvaluationError

VARIABLE = "CLAAS_ASSETS_LOCKS"
_OLD_S = 3600.0
"""Lock files that nobody holds are removed from this age on: each deployment leaves some thirty."""


def lock_folder() -> Path:
    """The folder of all users of this machine; made where it is not there yet. Raises `EvaluationError`.

    Not a user's own: two users who evaluate one deployment must see each other's locks.
    """
    shared = Path("/tmp" if os.name == "posix" else tempfile.gettempdir()) / "claas_assets-locks"
    folder = Path(os.environ.get(VARIABLE) or shared)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "posix" and folder.stat().st_uid == os.getuid():
            # Without the sticky bit of /tmp: where that is set, a lock file of another user is not trusted, and so
            # each user would lock the others out.
            folder.chmod(0o777)
    except OSError as error:
        raise EvaluationError(f"{folder}: locks cannot be kept there ({error.strerror}): set {VARIABLE}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EvaluationError(f"{folder}: locks cannot be kept there, it is not writable: set {VARIABLE}")
    _tidy(folder)
    return folder


@cache
def _tidy(folder: Path) -> None:
    """Remove old lock files, once a process. Whoever waits for one sees that it is gone, and makes another."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError, NotImplementedError):  # held, or another user's: it stays
            if time.time() - path.stat().st_mtime < _OLD_S:
                continue
            with FileLock(path, thread_local=False, fallback_to_soft=False).acquire(timeout=0):
                path.with_suffix(".holder").unlink(missing_ok=True)
                path.unlink()


def machine_lock(name: str, *, is_singleton: bool = False) -> FileLock:
    """A lock that every user of this machine may take."""
    return FileLock(
        lock_folder() / name, mode=0o666, thread_local=False, is_singleton=is_singleton, fallback_to_soft=False
    )


def take(lock: FileLock, timeout_s: float = 0.0) -> bool:
    """Whether it could be had in time (negative: waits without an end). Raises `EvaluationError` where nothing can."""
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        raise EvaluationError(
            f"{lock.lock_file} cannot be locked ({error}): set {VARIABLE} to a folder of a local disk"
        ) from error
    return True

"""Where the locks of this machine lie: what must not run twice at once names a file here."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock

from claas_assets.evaluation.errors import EvaluationError

VARIABLE = "CLAAS_ASSETS_LOCKS"


def lock_folder() -> Path:
    """The folder of all users of this machine; made where it is not there yet. Raises `EvaluationError`.

    Not a user's own: two users who evaluate one deployment must see each other's locks.
    """
    shared = Path("/tmp" if os.name == "posix" else tempfile.gettempdir()) / "claas_assets-locks"
    folder = Path(os.environ.get(VARIABLE) or shared)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "posix" and folder.stat().st_uid == os.getuid():
            folder.chmod(0o1777)  # as /tmp: everybody makes files, and removes only their own
    except OSError as error:
        raise EvaluationError(f"{folder}: locks cannot be kept there ({error.strerror}): set {VARIABLE}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EvaluationError(f"{folder}: locks cannot be kept there, it is not writable: set {VARIABLE}")
    return folder


def machine_lock(name: str, *, is_singleton: bool = False) -> FileLock:
    """A lock that every user of this machine may take."""
    return FileLock(
        lock_folder() / name, mode=0o666, thread_local=False, is_singleton=is_singleton, fallback_to_soft=False
    )

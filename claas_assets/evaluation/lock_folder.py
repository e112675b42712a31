"""Where the locks of this machine lie: what must not run twice at once names a file here."""

from __future__ import annotations

import os
from pathlib import Path


def lock_folder() -> Path:
    """`$XDG_CACHE_HOME/claas_assets/locks`, else below `~/.cache`; made where it is not there yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "claas_assets" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

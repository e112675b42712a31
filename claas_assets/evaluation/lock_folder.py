"""Where the locks of this machine lie: what must not run twice at once names a file here."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def lock_folder() -> Path:
    """`locks` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`); made where it is not there yet."""
    folder = platformdirs.user_cache_path("claas_assets") / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

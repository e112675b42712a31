"""Where the embedded stack keeps weights, adapters, its address and its log."""

import hashlib
import os
from pathlib import Path

import platformdirs

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def cache_folder() -> Path:
    """`$CLAAS_ASSETS_CACHE`, else the user's cache folder (`$XDG_CACHE_HOME` where it is set)."""
    named = os.environ.get("CLAAS_ASSETS_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("claas_assets", appauthor=False)


def canonical_model(base_model: str) -> str:
    """One spelling per model: a local folder by its absolute path, a model id as it is."""
    folder = Path(base_model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else base_model


def default_state_folder(base_model: str) -> Path:
    """Adapters, registry and logs of the stack that serves `base_model`."""
    name = canonical_model(base_model)
    readable = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)[-60:].strip("-.")
    return cache_folder() / "stacks" / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

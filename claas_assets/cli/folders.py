"""Arguments that are folders of this machine."""

import argparse
from pathlib import Path

from claas_assets.evaluation.storage.addresses import is_address

DEFAULT_RESULTS = Path("data") / "evals"


def local_folder(text: str) -> Path:
    """A `type` for argparse, which refuses an fsspec address: `Path` would make another one of it."""
    if is_address(text):
        raise argparse.ArgumentTypeError(
            f"{text} is not a folder of this machine, and this command works on those alone: copy the runs here first"
        )
    return Path(text)

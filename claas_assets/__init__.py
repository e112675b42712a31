"""Does feedback move a CLaaS model towards what the user prefers, without costing it what it could do?

The public names are lazy: importing the package loads neither pydantic nor Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claas_assets.cli.live import TerminalProgress
    from claas_assets.evaluation.config import EvalConfig
    from claas_assets.evaluation.runs.frames import load_run, load_runs
    from claas_assets.launch.evaluation import run_harness

__version__ = "0.1.0"
__all__ = ["EvalConfig", "TerminalProgress", "__version__", "load_run", "load_runs", "run_harness"]

_MODULES = {
    "EvalConfig": "claas_assets.evaluation.config",
    "TerminalProgress": "claas_assets.cli.live",
    "load_run": "claas_assets.evaluation.runs.frames",
    "load_runs": "claas_assets.evaluation.runs.frames",
    "run_harness": "claas_assets.launch.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

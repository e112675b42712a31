"""Does feedback move a CLaaS model towards what the user prefers, without costing it what it could do?

The public names are lazy: importing the package loads neither pydantic nor Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claas_assets.evaluation.config import EvalConfig
    from claas_assets.launch import run_harness

__version__ = "0.1.0"
__all__ = ["EvalConfig", "__version__", "run_harness"]


def __getattr__(name: str) -> Any:
    if name == "EvalConfig":
        from claas_assets.evaluation.config import EvalConfig

        return EvalConfig
    if name == "run_harness":
        from claas_assets.launch import run_harness

        return run_harness
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

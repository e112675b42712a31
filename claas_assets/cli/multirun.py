"""Sweeps: `claas-eval --multirun training.learning_rate=1e-4,2e-4 seed=1,2,3` is one run folder a job.

All jobs of a sweep share a sweep id: the time at which the command began, or `sweep_id=…`. Each has the
run id `<sweep id>-<job number>`, so the same command with that `sweep_id` finds its folders and goes on in
them. A job that no longer is what its folder began with (another order of the values, another seed) is
refused by the check that every resume makes.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.names import new_run_id

_jobs: dict[str, EvalConfig] = {}  # run folder → its job of this command's sweep


def register_resolvers() -> None:
    """`${claas_run_id:}` and `${claas_sweep_id:}`. UTC, where Hydra's own `${now:}` is local time."""
    OmegaConf.register_resolver("claas_run_id", _run_id, replace=True)
    OmegaConf.register_resolver("claas_sweep_id", lambda *, _root_: _root_.get("sweep_id") or _began(), replace=True)


def begin() -> None:
    """Forget the ids and folders of a command that ran before in this process."""
    _began.cache_clear()
    _jobs.clear()


@cache
def _began() -> str:
    """One id for a whole command, computed at first use."""
    return new_run_id()


def _run_id(*, _root_: Any) -> str:
    job = _job_number()
    return _began() if job is None else f"{_root_.get('sweep_id') or _began()}-{job:02d}"


def _job_number() -> int | None:
    """Which job of a sweep is being composed; None outside one."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return int(HydraConfig.get().job.num)


def sweep_id(composed: Any) -> str | None:
    """What was asked for, else the sweep that this job is part of, else None."""
    named = composed.get("sweep_id")
    return str(named) if named is not None else _began() if _job_number() is not None else None


def check_own_folder(config: EvalConfig) -> None:
    """Refuse two jobs of a sweep in one folder: the second would take the first one's adapter for its own."""
    if _job_number() is None:
        return
    folder = config.output_dir if is_address(config.output_dir) else str(Path(config.output_dir).resolve())
    if folder in _jobs:
        raise ConfigError(
            f"output_dir={config.output_dir} is that of an earlier job of this sweep, and each needs its own: leave "
            "output_dir out, or end it in /${claas_run_id:} (in single quotes, for the shell)"
        )
    _jobs[folder] = config


def say_how_to_go_on() -> None:
    """After a sweep: how its runs are compared, and how one that was stopped goes on."""
    if not _jobs:
        return
    last = list(_jobs.values())[-1]
    elsewhere = "" if last.results_dir == Path("data/evals") else f" --results-dir {last.results_dir}"
    print(
        f"\nSweep {last.sweep_id}: {len(_jobs)} runs in {last.results_dir}. "
        f"Compare them: claas-eval compare --sweep {last.sweep_id}{elsewhere}. "
        f"Go on where one did not finish: the same command with sweep_id={last.sweep_id}",
        file=sys.stderr,
    )

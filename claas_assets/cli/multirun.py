"""Sweeps: `claas-eval --multirun training.learning_rate=1e-4,2e-4 seed=1,2,3` is one run folder a job.

All jobs of a sweep share a sweep id: the time at which the command began, or `sweep_id=…`. Each has the
run id `<sweep id>-<job number>`, so the same command with that `sweep_id` finds its folders and goes on in
them. A job that no longer is what its folder began with (another order of the values, another seed) is
refused by the check that every resume makes.
"""

import math
import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from claas_assets.cli.foreign_text import say
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.names import new_run_id


class Sweep:
    """The ids and folders of one command line, whether or not it is a sweep."""

    def __init__(self) -> None:
        self.began = new_run_id()
        self.jobs: dict[str, EvalConfig] = {}
        """Run folder → its job of this sweep."""

    def register_resolvers(self) -> None:
        """`${claas_run_id:}` and `${claas_sweep_id:}`. UTC, where Hydra's own `${now:}` is local time."""
        OmegaConf.register_resolver("claas_run_id", self._run_id, replace=True)
        OmegaConf.register_resolver("claas_sweep_id", self._sweep_id, replace=True)

    def _sweep_id(self, *, _root_: Any) -> str:
        return str(_root_.get("sweep_id") or self.began)

    def _run_id(self, *, _root_: Any) -> str:
        job = _job_number()
        return self.began if job is None else f"{self._sweep_id(_root_=_root_)}-{job:02d}"

    def config_of(self, composed: DictConfig) -> EvalConfig:
        """The validated configuration of a job. Raises `ConfigError`."""
        values: Any = OmegaConf.to_container(composed, resolve=True)
        if values["sweep_id"] is not None or _job_number() is not None:
            values["sweep_id"] = self._sweep_id(_root_=composed)
        return load_config(values)

    def check_job(self, config: EvalConfig) -> None:
        """Refuse two jobs of a sweep in one folder, and a sweep over what has no effect.

        The second job in a folder would take the first one's adapter for its own.
        """
        if _job_number() is None:
            return
        folder = config.output_dir if is_address(config.output_dir) else str(Path(config.output_dir).resolve())
        if folder in self.jobs:
            raise ConfigError(
                f"output_dir={config.output_dir} is that of an earlier job of this sweep, and each needs its own: "
                "leave output_dir out, or end it in /${claas_run_id:} (in single quotes, for the shell)"
            )
        for key in config.without_effect():
            section, name = key.split(".")
            value = getattr(getattr(config, section), name)
            if any(getattr(getattr(job, section), name) != value for job in self.jobs.values()):
                raise ConfigError(f"a sweep over {key} compares nothing: {config.without_effect()[key]}")
        self.jobs[folder] = config

    def say_which_job(self) -> None:
        """In a sweep, before a job: which one of how many it is, and what it sets."""
        number = _job_number()
        if number is not None:
            settings = HydraConfig.get().overrides.task
            say(f"\nJob {number + 1} of {_job_count()}: {' '.join(settings)}")

    def say_how_to_go_on(self) -> None:
        """After a sweep: how its runs are compared, and how one that was stopped goes on."""
        if not self.jobs:
            return
        last = list(self.jobs.values())[-1]
        elsewhere = (
            "" if last.results_dir == Path("data/evals") else f" --results-dir {shlex.quote(str(last.results_dir))}"
        )
        say(
            f"\nSweep {last.sweep_id}: {len(self.jobs)} runs in {last.results_dir}. "
            f"Compare them: claas-eval compare --sweep {last.sweep_id}{elsewhere}. "
            f"Go on where one did not finish: the same command with sweep_id={last.sweep_id}"
        )


def _job_count() -> int:
    """How many jobs the overrides of the command line make."""
    overrides = OverridesParser.create().parse_overrides([word for word in sys.argv[1:] if "=" in word])
    return math.prod(
        len(list(override.sweep_string_iterator())) for override in overrides if override.is_sweep_override()
    )


def _job_number() -> int | None:
    """Which job of a sweep is being composed; None outside one."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return int(HydraConfig.get().job.num)

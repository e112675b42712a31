"""`claas-eval check`: what would go wrong on a deployment, in under two minutes.

    claas-eval check mode=local claas_url=http://localhost:8080 openclaw_url=http://localhost:18789

Takes the keys of an evaluation. Trains one throwaway adapter once, deletes it, and says line by line what it found
and what to do. Exit code 0, or 1 where something would make an evaluation's numbers wrong or missing.
"""

import sys
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from claas_assets.cli.foreign_text import say
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.names import new_run_id


def run(arguments: list[str]) -> int:
    from claas_assets.launch.checkup import check

    if any(argument in ("-h", "--help") for argument in arguments):
        print((__doc__ or "").strip())
        return 0
    report = check(config_of(arguments), lambda finding: print(finding.line, flush=True), say)
    blocking = report.blocking
    if blocking:
        print(f"\n{len(blocking)} of {len(report.findings)} findings block an evaluation:", file=sys.stderr)
        for finding in blocking:
            print(f"  {finding.name}", file=sys.stderr)
    return 1 if blocking else 0


def config_of(overrides: list[str]) -> EvalConfig:
    """The configuration that these words of a command line make. Raises `ConfigError`."""
    OmegaConf.register_resolver("claas_run_id", new_run_id, replace=True)
    try:
        with initialize_config_module("claas_assets.configs"):
            values: Any = OmegaConf.to_container(compose("base", overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        from claas_assets.cli.main import explain_hydra

        raise ConfigError(explain_hydra(error)) from error
    return load_config(values)

"""The configuration that Dagster's own commands start from."""

import os
from pathlib import Path

import yaml

from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.errors import ConfigError

CONFIG_VARIABLE = "CLAAS_EVAL_CONFIG"


def chosen_config() -> EvalConfig:
    """The YAML file that `CLAAS_EVAL_CONFIG` names (keys of `EvalConfig`), else the embedded defaults."""
    named = os.environ.get(CONFIG_VARIABLE)
    if not named:
        return EvalConfig()
    try:
        values = yaml.safe_load(Path(named).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{CONFIG_VARIABLE}={named}: not readable as YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{CONFIG_VARIABLE}={named}: a configuration is a mapping of keys, this is not")
    return load_config(values)

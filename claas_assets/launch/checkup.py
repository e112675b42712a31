"""A check of the deployment that a configuration names, without Dagster's runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from claas_assets.evaluation.check.checkup import check_deployment
from claas_assets.evaluation.check.findings import Finding, Report
from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.preferences.sequence import load_sequence


def check(config: EvalConfig, hear: Callable[[Finding], None], say: Callable[[str], None]) -> Report:
    """Raises `ConfigError` and `PreferenceError` before anything is sent."""
    from claas_assets.defs.resources import find_or_start  # Dagster: a second

    sequences = [load_sequence(name, config.preference_folder()) for name in config.preferences]
    token = gateway_token(config)
    return asyncio.run(check_deployment(config, find_or_start(config, say), token, sequences, hear))

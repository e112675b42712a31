"""The metrics, by name. To add one: its file beside this one, its name in `METRIC_NAMES`, a row in the docs.

A metric's module is imported when it is asked for: some bring a sandbox or a tokenizer with them. It has the metric's
name, and its class registers itself there (`base.metric`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from claas_assets.evaluation.errors import ConfigError

if TYPE_CHECKING:
    from claas_assets.evaluation.metrics.base import Metric

METRIC_NAMES = ("logprob", "compliance", "general", "collapse")
"""Every metric there is, in the order in which results are shown."""


@cache
def get_metric(name: str) -> Metric:
    """The metric called `name`. Raises `ConfigError` for another name."""
    if name not in METRIC_NAMES:
        raise ConfigError(f"metrics: there is no metric {name!r}. Metrics: {', '.join(METRIC_NAMES)}")
    from claas_assets.evaluation.metrics.base import REGISTERED  # all verifiers: a configuration needs the names alone

    import_module(f"{__name__}.{name}")
    return REGISTERED[name]

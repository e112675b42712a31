"""The metrics, by name. To add one: its file beside this one, its name in `_NAMES`, a row in the docs.

A metric's module is imported when it is asked for: some bring a sandbox or a tokenizer with them. It has the metric's
name, and its class registers itself there (`base.metric`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.metrics.base import Metric, registered

_NAMES = ("logprob", "compliance", "general", "collapse")
"""In the order in which results are shown."""


def metric_names() -> tuple[str, ...]:
    """Every metric there is, in the order in which results are shown."""
    return _NAMES


@cache
def get_metric(name: str) -> Metric:
    """The metric called `name`. Raises `ConfigError` for another name."""
    if name not in _NAMES:
        raise ConfigError(f"metrics: there is no metric {name!r}. Metrics: {', '.join(_NAMES)}")
    import_module(f"{__name__}.{name}")
    return registered(name)

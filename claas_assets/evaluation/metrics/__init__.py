"""The metrics, by name. To add one: its file beside this one, a line in `_CLASSES`, a row in the docs.

A metric's module is imported when it is asked for: some bring a sandbox or a tokenizer with them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.metrics.base import Metric

_CLASSES = {
    "logprob": "claas_assets.evaluation.metrics.logprob:LogprobMetric",
    "compliance": "claas_assets.evaluation.metrics.compliance:ComplianceMetric",
    "general": "claas_assets.evaluation.metrics.general:GeneralMetric",
    "collapse": "claas_assets.evaluation.metrics.collapse:CollapseMetric",
}


def metric_names() -> tuple[str, ...]:
    """Every metric there is, in the order in which results are shown."""
    return tuple(_CLASSES)


@cache
def get_metric(name: str) -> Metric:
    """The metric called `name`. Raises `ConfigError` for another name."""
    if name not in _CLASSES:
        raise ConfigError(f"metrics: there is no metric {name!r}. Metrics: {', '.join(_CLASSES)}")
    module, _, class_name = _CLASSES[name].partition(":")
    metric: Metric = getattr(import_module(module), class_name)()
    return metric

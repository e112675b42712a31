"""A configuration as `metadata.json` holds it: plain values, perhaps of an older version."""

from collections.abc import Mapping
from typing import Any

_MEASURING = {"metrics": (), "probe_max_tokens": None, "probe_temperature": 0.0, "snapshot_size": "standard"}
"""Keys that say how states are measured, and what held before there was such a key."""


def measuring_inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """How states are measured: numbers that were measured otherwise are not comparable. Metrics in a fixed order."""
    inputs = {key: config.get(key, earlier) for key, earlier in _MEASURING.items()}
    return {**inputs, "metrics": sorted(inputs["metrics"])}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted names. Lists stay whole."""
    dotted: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            dotted |= flat(value, f"{prefix}{key}.")
        else:
            dotted[f"{prefix}{key}"] = value
    return dotted

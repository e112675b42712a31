"""What each result depends on, as a short text: two results with the same text are comparable.

The graph shows a result as stale when its text is another than today's. Training does not depend on how
answers are scored: a raised metric version or a moved threshold must not make it look stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from claas_assets.evaluation.config import EvalConfig, Thresholds
from claas_assets.evaluation.metrics import get_metric, metric_names
from claas_assets.evaluation.storage.records import Record

VERDICT_VERSION = 1
"""Rises when the same scores and thresholds would give another verdict."""

TABLE_VERSION = "table 1"
"""Of `metrics.csv` and `collapse.json`: rises when the same scores would give other rows."""

_STEPPING = {"num_steps", "collapse_steps", "snapshot_steps"}


def adapter_version(config: EvalConfig) -> str:
    """Model, hyperparameters, batch, seed: what is frozen when an adapter is made."""
    return f"training {_digest(config.training_inputs())}"


def baseline_version(config: EvalConfig) -> str:
    return f"{adapter_version(config)}, measuring {_digest(config.measuring_inputs())}"


def steps_version(config: EvalConfig) -> str:
    values = config.measuring_inputs() | config.model_dump(mode="json", include=_STEPPING)
    return f"{adapter_version(config)}, measuring {_digest(values)}"


def scoring_version(metrics: Sequence[str] = metric_names()) -> str:
    """The version of each metric and of its own prompts: "collapse 1, compliance 1, fixed_texts 1, …"."""
    versions: dict[str, int] = {}
    for name in metrics:
        metric = get_metric(name)
        versions |= {name: metric.version, **getattr(metric, "prompt_sets", {})}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def verdict_version(thresholds: Thresholds) -> str:
    return f"verdict {VERDICT_VERSION}, thresholds {_digest(thresholds.model_dump(mode='json'))}"


def content_version(record: Record) -> str:
    """Of what a record says: scored again with the same outcome, what was made from it is not stale."""
    return _digest(record.model_dump(mode="json"))


def preference_file_version(path: Path) -> str:
    """A digest of the file's bytes: any edit is another version."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]

"""Of which code each asset is (its code version), and of what a value was made (its data version).

The graph shows a result as stale when its code has risen, or when what it was made from has another data version
by now. What a configuration decides is in data versions, since each run has its own. Training does not depend on how
answers are scored: a raised metric version or a moved threshold must not make it look stale.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from claas_assets.evaluation.metrics import METRIC_NAMES, get_metric
from claas_assets.evaluation.metrics.degenerate import VERSION as DEGENERATE_VERSION
from claas_assets.evaluation.storage.recorded_config import measuring_inputs
from claas_assets.evaluation.storage.records import AdapterRecord, Record, TrainingRecord

TRAINING_VERSION = "training 1"
"""Of adapter, baseline and steps: rises when the same configuration would train or ask otherwise."""

VERDICT_VERSION = "verdict 3"
"""Rises when the same scores and thresholds would give another verdict."""

TABLE_VERSION = "table 2"
"""Of `metrics.csv` and `collapse.json`: rises when the same scores would give other rows."""


def adapter_data(adapter: AdapterRecord) -> str:
    """The adapter, which no other run has, and what was frozen with it: model, hyperparameters, batch, seed."""
    return f"{adapter.lora_id}, training {_digest(adapter.training_inputs)}"


def baseline_data(adapter: AdapterRecord) -> str:
    """The adapter, and how its states are measured."""
    return f"{adapter.lora_id}, measuring {_digest(measuring_inputs(adapter.config))}"


def steps_data(training: TrainingRecord) -> str:
    return f"{baseline_data(training.adapter)}, {len(training.steps)} steps"


def scoring_version() -> str:
    """The version of each metric and of its own prompts: "collapse 1, compliance 1, fixed_texts 1, …"."""
    versions: dict[str, int] = {"degenerate": DEGENERATE_VERSION}
    for name in METRIC_NAMES:
        metric = get_metric(name)
        versions |= {name: metric.version, **getattr(metric, "prompt_sets", {})}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def content_version(record: Record) -> str:
    """Of what a record says: scored again with the same outcome, what was made from it is not stale."""
    return _digest(record.model_dump(mode="json"))


def preference_file_version(paths: Sequence[Path]) -> str:
    """A digest of the bytes of a preference's file, or of all files of a sequence: any edit is another version."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]

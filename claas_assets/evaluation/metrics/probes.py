"""Probe → transcript: what the metrics want to ask, gathered, asked once each, and recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import EvalSnapshot, SnapshotSize


@dataclass(frozen=True)
class Probe:
    """One thing to ask. `key` is `<metric>/<group>/…` and unique within a snapshot.

    `messages` are (role, content) pairs without the deployment's default system message.
    `completion` is the given answer of a score probe. `seed` matters only at temperature > 0.
    """

    key: str
    kind: Literal["generate", "score"]
    messages: tuple[tuple[str, str], ...]
    completion: str | None = None
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int | None = None
    logprobs: bool = False  # per-token logprobs and entropies are wanted

    @property
    def metric(self) -> str:
        return self.key.split("/", 1)[0]


@dataclass(frozen=True)
class ProbePlan:
    """What a metric needs to know to name its probes. `step` is -1 for the baseline."""

    preference: Preference
    size: SnapshotSize
    step: int
    collapse_due: bool
    seed: int
    max_tokens: int

    @property
    def is_baseline(self) -> bool:
        return self.step < 0


@dataclass(frozen=True)
class ScoringContext:
    """What a pure score needs beside the transcripts. `baseline` is None when scoring the baseline itself."""

    preference: Preference
    baseline: EvalSnapshot | None


def derived_seed(seed: int, *parts: object) -> int:
    """A request's seed from (run seed, step, probe, sample number): 31 bits, the same everywhere."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF

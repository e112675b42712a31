"""Probe → transcript: what the metrics want to ask, gathered, asked once each, and recorded."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import EvalSnapshot, SnapshotScale, SnapshotSize


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


QUICK_OVER_APPLICATION = 20
"""How many over-application prompts a full snapshot of size `quick` asks, at most."""


@dataclass(frozen=True)
class ProbePlan:
    """What a metric needs to know to name its probes."""

    preference: Preference
    size: SnapshotSize
    step: int
    """-1 for the baseline."""
    collapse_due: bool
    seed: int
    """Of the run."""
    max_tokens: int
    temperature: float = 0.0
    """Of every answer that is asked once (`probe_temperature`); repeated samples have their own."""
    snapshot_size: SnapshotScale = "standard"
    """How much a full snapshot asks."""

    def ask(self, key: str, prompt: str, *, max_tokens: int | None = None, logprobs: bool = False) -> Probe:
        """One answer to `prompt`, decoded as the run decodes its probes; `max_tokens` where it is not the run's.

        The seed is of the run and the prompt, not of the step: where a deployment takes seeds, a model that did
        not change gives the same text again, as it does at temperature 0.
        """
        return Probe(
            key=key,
            kind="generate",
            messages=(("user", prompt),),
            temperature=self.temperature,
            max_tokens=max_tokens if max_tokens is not None else self.max_tokens,
            seed=derived_seed(self.seed, "probe", prompt) if self.temperature > 0 else None,
            logprobs=logprobs,
        )


@dataclass(frozen=True)
class ScoringContext:
    """What a pure score needs beside the transcripts. `baseline` is None when scoring the baseline itself."""

    preference: Preference
    baseline: EvalSnapshot | None


def derived_seed(seed: int, *parts: object) -> int:
    """A request's seed from (run seed, step, probe, sample number): 31 bits, the same everywhere."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF

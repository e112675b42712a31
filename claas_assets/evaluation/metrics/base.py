"""What a metric is: the probes it needs, and a pure function from transcripts to numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.storage.records import Record, Transcript, Unmeasured


@dataclass(frozen=True)
class MetricScore:
    """`fields`: entries of `EvalSnapshot` (e.g. {"logprob_margin": LogprobMargin(...)}).

    `stats`: this metric's entry of `SnapshotStats`. `unmeasured`: dotted name → reason, e.g.
    "collapse.mean_entropy".
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    stats: Record | None = None
    unmeasured: Mapping[str, Unmeasured] = field(default_factory=dict)


class Metric(Protocol):
    """`version` rises when the same transcripts would give another number (CHANGELOG says which).

    A metric that asks prompts of its own also has `prompt_sets`: their names and versions. One whose
    score is slow has `prescore(transcript, earlier)`, called in a thread as an answer arrives, with those of
    the metric that came before it: it does, and keeps, what `score` will need of it. One that may have nothing to
    ask has `not_asked(context)`: `unmeasured` entries that say why.
    """

    name: str
    version: int

    def probes(self, plan: ProbePlan) -> list[Probe]: ...

    def score(self, transcripts: Transcripts, context: ScoringContext) -> MetricScore: ...


REGISTERED: dict[str, Metric] = {}
"""By name: the metrics whose modules have been imported."""
M = TypeVar("M", bound=Metric)


def metric(kind: type[M]) -> type[M]:
    """Decorates a metric's class: the metric of its `name` is one instance of it."""
    REGISTERED[kind.name] = kind()
    return kind


class Transcripts:
    """The transcripts of one snapshot, by key."""

    def __init__(self, transcripts: Iterable[Transcript]) -> None:
        self._by_key = {transcript.key: transcript for transcript in transcripts}

    def get(self, key: str) -> Transcript | None:
        return self._by_key.get(key)

    def below(self, prefix: str) -> list[Transcript]:
        """Those whose key begins with `prefix/`, in the order asked."""
        return [t for key, t in self._by_key.items() if key.startswith(f"{prefix}/")]

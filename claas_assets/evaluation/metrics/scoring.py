"""Metrics → probes, and transcripts → a scored snapshot. Nothing here talks to a model.

`score_snapshot` runs once inline, so that each line of `steps.jsonl` is complete, and `rescore` runs
the same functions any time later, from the recorded transcripts alone: a changed verifier or threshold
never costs a training run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.metrics import get_metric
from claas_assets.evaluation.metrics.base import Metric, Transcripts
from claas_assets.evaluation.metrics.degenerate import VERSION as DEGENERATE_VERSION
from claas_assets.evaluation.metrics.degenerate import count_answers, degenerate_stats
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.preferences.judgements import Judgements, judging_by
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import (
    EvalSnapshot,
    SnapshotSize,
    SnapshotStats,
    StepRecord,
    Transcript,
    Unmeasured,
)


def gather_probes(metrics: Sequence[str], plan: ProbePlan) -> list[Probe]:
    """Everything that `metrics` want to ask at one state, in their order.

    Raises `ConfigError` for an unknown metric, `ValueError` where two probes have one key.
    """
    probes = [probe for name in metrics for probe in get_metric(name).probes(plan)]
    seen: set[str] = set()
    for probe in probes:
        if probe.key in seen:
            raise ValueError(f"two probes of a snapshot have the key {probe.key!r}: keys must be unique")
        seen.add(probe.key)
    return probes


def score_snapshot(
    transcripts: Sequence[Transcript], context: ScoringContext, *, size: SnapshotSize, metrics: Sequence[str]
) -> EvalSnapshot:
    """All numbers of one state. A metric without a transcript was not asked: null, with a reason where it has one."""
    by_key = Transcripts(transcripts)
    fields: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    unmeasured: dict[str, Unmeasured] = {}
    versions: dict[str, int] = {"preference": context.preference.version}
    with judging_by(Judgements.of(transcripts)):
        for name in metrics:
            metric = get_metric(name)
            if not by_key.below(name):
                unmeasured.update(metric.not_asked(context) if hasattr(metric, "not_asked") else {})
                continue
            score = metric.score(by_key, context)
            fields.update(score.fields)
            stats[name] = score.stats
            unmeasured.update(score.unmeasured)
            versions |= {name: metric.version, **prompt_sets(metric)}
    stats["degenerate"] = degenerate_stats(by_key, context.preference.families)
    versions["degenerate"] = DEGENERATE_VERSION
    return EvalSnapshot(
        **fields,
        rollouts=list(transcripts),
        stats=SnapshotStats(**stats),
        unmeasured=unmeasured,
        snapshot=size,
        versions=versions,
        answers=count_answers(by_key),
    )


def score_state(
    transcripts: Sequence[Transcript],
    beside: Mapping[str, Sequence[Transcript]],
    preference: Preference,
    subjects: Subjects,
    *,
    size: SnapshotSize,
) -> EvalSnapshot:
    """All numbers of one state: of the `preference` that is trained, and of the others that were asked beside it."""
    context = subjects.context(preference)
    own = score_snapshot(transcripts, context, size=size, metrics=subjects.metrics)
    others = {
        name: score_snapshot(
            asked, subjects.context(subjects.preferences[name]), size=size, metrics=_asked(asked, subjects.metrics)
        )
        for name, asked in beside.items()
    }
    return own.model_copy(update={"beside": others})


@dataclass(frozen=True)
class Subjects:
    """What the states of one adapter are scored for."""

    preferences: Mapping[str, Preference]
    """By name, in the order of first training; of a preference alone, it."""
    metrics: Sequence[str]
    baseline: EvalSnapshot | None = None
    """None while the baseline itself is scored."""

    def context(self, preference: Preference) -> ScoringContext:
        """That preference, with the baseline as it has it."""
        baseline = None if self.baseline is None else self.baseline.of(preference.name)
        return ScoringContext(preference=preference, baseline=baseline)


def _asked(transcripts: Sequence[Transcript], metrics: Sequence[str]) -> list[str]:
    """The metrics that asked these: of a preference beside the trained one, no other is its own."""
    asking = {transcript.metric for transcript in transcripts}
    return [name for name in metrics if name in asking]


def rescore(
    baseline: EvalSnapshot, steps: Sequence[StepRecord], preferences: Mapping[str, Preference], metrics: Sequence[str]
) -> tuple[EvalSnapshot, list[StepRecord]]:
    """Baseline and steps scored afresh from their transcripts; whatever numbers they hold are not read.

    `preferences` by name, in the order of first training: the first is that of the baseline. Requests and
    durations are kept. Where another version made the inline scores, `rescored_from` names it.
    """
    first = next(iter(preferences.values()))
    fresh = _rescored(baseline, first, Subjects(preferences, metrics))
    subjects = Subjects(preferences, metrics, fresh)
    return fresh, [
        step.model_copy(update={"eval": _rescored(step.eval, preferences[step.preference], subjects)}) for step in steps
    ]


def _rescored(snapshot: EvalSnapshot, preference: Preference, subjects: Subjects) -> EvalSnapshot:
    beside = {name: own.rollouts for name, own in snapshot.beside.items()}
    fresh = score_state(snapshot.rollouts, beside, preference, subjects, size=snapshot.snapshot)
    others = {name: _as_before(own, snapshot.beside[name]) for name, own in fresh.beside.items()}
    return _as_before(fresh, snapshot).model_copy(update={"beside": others})


def _as_before(fresh: EvalSnapshot, before: EvalSnapshot) -> EvalSnapshot:
    """With what scoring does not make: what it cost, and which versions had scored it."""
    earlier = {**before.versions, **before.rescored_from}
    now = fresh.versions
    return fresh.model_copy(
        update={
            "requests": before.requests,
            "duration_s": before.duration_s,
            "shared_from": before.shared_from,
            "rescored_from": {name: was for name, was in earlier.items() if name in now and now[name] != was},
        }
    )


def prompt_sets(metric: Metric) -> Mapping[str, int]:
    """Versions of a metric's own prompts, where it has some: name → version."""
    return getattr(metric, "prompt_sets", {})

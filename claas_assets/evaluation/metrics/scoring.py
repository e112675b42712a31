"""Metrics → probes, and transcripts → a scored snapshot. Nothing here talks to a model.

`score_snapshot` runs once inline, so that each line of `steps.jsonl` is complete, and `rescore` runs
the same functions any time later, from the recorded transcripts alone: a changed verifier or threshold
never costs a training run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from claas_assets.evaluation.metrics import get_metric
from claas_assets.evaluation.metrics.base import Metric, Transcripts
from claas_assets.evaluation.metrics.degenerate import VERSION as DEGENERATE_VERSION
from claas_assets.evaluation.metrics.degenerate import count_answers, degenerate_stats
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.verifiers.judgements import Judgements, judging_by
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
    with judging_by(Judgements.of(transcripts)):
        return _score_snapshot(transcripts, context, size, metrics)


def _score_snapshot(
    transcripts: Sequence[Transcript], context: ScoringContext, size: SnapshotSize, metrics: Sequence[str]
) -> EvalSnapshot:
    by_key = Transcripts(transcripts)
    fields: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    unmeasured: dict[str, Unmeasured] = {}
    versions: dict[str, int] = {"preference": context.preference.version}
    for name in metrics:
        metric = get_metric(name)
        if not by_key.below(name):
            unmeasured.update(_why_not_asked(metric, context))
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


def _why_not_asked(metric: Metric, context: ScoringContext) -> Mapping[str, Unmeasured]:
    found: Mapping[str, Unmeasured] = metric.not_asked(context) if hasattr(metric, "not_asked") else {}
    return found


def rescore(
    baseline: EvalSnapshot, steps: Sequence[StepRecord], preference: Preference, metrics: Sequence[str]
) -> tuple[EvalSnapshot, list[StepRecord]]:
    """Baseline and steps scored afresh from their transcripts; whatever numbers they hold are not read.

    Requests and durations are kept. Where another version made the inline scores, `rescored_from`
    names it.
    """
    fresh = _rescored(baseline, ScoringContext(preference=preference, baseline=None), metrics)
    context = ScoringContext(preference=preference, baseline=fresh)
    return fresh, [step.model_copy(update={"eval": _rescored(step.eval, context, metrics)}) for step in steps]


def _rescored(snapshot: EvalSnapshot, context: ScoringContext, metrics: Sequence[str]) -> EvalSnapshot:
    fresh = score_snapshot(snapshot.rollouts, context, size=snapshot.snapshot, metrics=metrics)
    earlier = {**snapshot.versions, **snapshot.rescored_from}
    return fresh.model_copy(
        update={
            "requests": snapshot.requests,
            "duration_s": snapshot.duration_s,
            "shared_from": snapshot.shared_from,
            "rescored_from": changed_versions(earlier, fresh.versions),
        }
    )


def changed_versions(earlier: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Those of `earlier` that are another version `now`."""
    return {name: version for name, version in earlier.items() if name in now and now[name] != version}


def prompt_sets(metric: Metric) -> Mapping[str, int]:
    """Versions of a metric's own prompts, where it has some: name → version."""
    return getattr(metric, "prompt_sets", {})

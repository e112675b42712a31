"""logprob: does the model favor the answer that the user prefers?

`margin = logprob_sum(preferred) − logprob_sum(dispreferred)`, nats, from `/v1/score`; per pair, then
averaged. A rise is necessary, never sufficient: +12 nats were seen with no change in what a model says.
"""

from collections.abc import Mapping

from claas_assets.evaluation.metrics.base import MetricScore, Transcripts, metric
from claas_assets.evaluation.metrics.logprobs import why_unusable
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.units import (
    BASELINE_ITSELF,
    Units,
    all_missing,
    changes,
    groups,
    mean,
    no_answer,
    not_in_baseline,
)
from claas_assets.evaluation.storage.records import EvalSnapshot, LogprobMargin, LogprobStats, Transcript, Unmeasured

SIDES = ("positive", "negative")


@metric
class LogprobMetric:
    """Keys: `logprob/<pair index>/positive|negative`. In every snapshot, light or full."""

    name = "logprob"
    version = 2

    def probes(self, plan: ProbePlan) -> list[Probe]:
        found = []
        for index, pair in enumerate(plan.preference.logprob_pairs or ()):
            messages = tuple((message.role, message.content) for message in pair.prompt_messages)
            for side, answer in zip(SIDES, (pair.positive_response, pair.negative_response), strict=True):
                key = f"{self.name}/{index}/{side}"
                found.append(Probe(key=key, kind="score", messages=messages, completion=answer))
        return found

    def not_asked(self, context: ScoringContext) -> Mapping[str, Unmeasured]:
        """Why there is no margin, where there was no pair to ask for."""
        return {} if context.preference.logprob_pairs is not None else {"logprob_margin.margin": _NO_PAIR}

    def score(self, transcripts: Transcripts, context: ScoringContext) -> MetricScore:
        sums: dict[str, list[float]] = {side: [] for side in SIDES}
        margins, per_token = Units(), Units()
        for index, pair in groups(
            transcripts.below(self.name), lambda transcript: transcript.key.split("/")[1]
        ).items():
            sides = {transcript.key.rsplit("/", 1)[-1]: transcript for transcript in pair}
            unit = f"{index}: {pair[0].question}"
            reason = next(filter(None, (_unscored(sides.get(side)) for side in SIDES)), None)
            if reason is not None:
                margins.missing[unit] = per_token.missing[unit] = reason
                continue
            positive, negative = (_sum(sides[side]) for side in SIDES)
            sums["positive"].append(positive)
            sums["negative"].append(negative)
            margins.scores[unit] = positive - negative
            per_token.scores[unit] = _per_token(sides["positive"]) - _per_token(sides["negative"])
        return _assemble(margins, per_token, sums, context.baseline)


_NO_PAIR = Unmeasured(
    kind="unavailable",
    reason="the preference file has no logprob_pairs, and none could be made at the baseline: that takes compliance, "
    "and a prompt on which the untrained model obeys when it is told the feedback and does not when it is not",
)


def _unscored(transcript: Transcript | None) -> Unmeasured | None:
    reason = no_answer(transcript)
    if reason is not None or transcript is None:
        return reason
    logprobs, given_sum = transcript.metadata.logprobs, transcript.metadata.logprob_sum
    if not logprobs:
        return Unmeasured(kind="failed", reason="the score of this answer holds no token logprobs")
    wrong = why_unusable(logprobs, given_sum)
    return None if wrong is None else Unmeasured(kind="failed", reason=f"the score of this answer: {wrong}")


def _sum(transcript: Transcript) -> float:
    """Nats. The sum as the server gave it, else of its tokens."""
    given = transcript.metadata.logprob_sum
    return given if given is not None else sum(transcript.metadata.logprobs or [])


def _per_token(transcript: Transcript) -> float:
    """Nats per token: a sum favors short answers, a mean does not."""
    return _sum(transcript) / len(transcript.metadata.logprobs or [])


def _assemble(
    margins: Units, per_token: Units, sums: Mapping[str, list[float]], baseline: EvalSnapshot | None
) -> MetricScore:
    unmeasured: dict[str, Unmeasured] = {}
    if (reason := margins.why_none()) is not None:
        for field in ("positive_logprob", "negative_logprob", "margin"):
            unmeasured[f"logprob_margin.{field}"] = reason
    delta, delta_reason = _delta(margins, baseline)
    if delta_reason is not None:
        unmeasured["logprob_margin.margin_delta_from_baseline"] = delta_reason
    field_values = LogprobMargin(
        positive_logprob=mean(sums["positive"]) if reason is None else None,
        negative_logprob=mean(sums["negative"]) if reason is None else None,
        margin=margins.mean(),
        margin_delta_from_baseline=delta.mean(),
    )
    stats = LogprobStats(
        margins=margins.amount(),
        per_token=per_token.amount(),
        delta=delta.amount() if delta_reason is None else None,
    )
    return MetricScore(fields={"logprob_margin": field_values}, stats=stats, unmeasured=unmeasured)


def _delta(margins: Units, baseline: EvalSnapshot | None) -> tuple[Units, Unmeasured | None]:
    """Per pair, margin now − margin in the baseline (nats); then why there is none."""
    if baseline is None:
        return Units(), BASELINE_ITSELF
    if (reason := margins.why_none()) is not None:
        return Units(), reason
    before = baseline.stats.logprob.margins.scores if baseline.stats.logprob is not None else {}
    delta = Units(scores=changes(margins.scores, before), missing=dict(margins.missing))
    absent = not_in_baseline(baseline.unmeasured.get("logprob_margin.margin") or all_missing({}))
    delta.missing |= {unit: absent for unit in margins.scores if unit not in before}
    return delta, delta.why_none() if delta.scores else absent

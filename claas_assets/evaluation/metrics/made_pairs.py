"""Logprob pairs of a preference that has none: what the untrained model says when told the feedback, and when not."""

from collections.abc import Sequence

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.compliance import CEILING, HELD_OUT, TRAINED, ComplianceMetric, obedience
from claas_assets.evaluation.metrics.logprob import SIDES, LogprobMetric
from claas_assets.evaluation.metrics.units import index_of
from claas_assets.evaluation.preferences.judgements import Judgements, judging_by
from claas_assets.evaluation.preferences.preference import LogprobPair, Preference, PromptMessage
from claas_assets.evaluation.storage.records import EvalSnapshot, Transcript

MOST_PAIRS = 10


def make_pairs(baseline: Sequence[Transcript], preference: Preference) -> tuple[LogprobPair, ...]:
    """Pairs from the answers of the baseline, `MOST_PAIRS` at most, in the order of the prompts.

    Preferred is an answer that obeys, of the model that was told the feedback; dispreferred one that does not, of the
    model that was not. A prompt without both makes no pair.
    """
    with judging_by(Judgements.of(baseline)):
        by_key, obeys = Transcripts(baseline), obedience(preference)
        compliance = ComplianceMetric.name
        told = {index_of(t): t for t in by_key.below(f"{compliance}/{CEILING}")}
        untold = by_key.below(f"{compliance}/{HELD_OUT}") or by_key.below(f"{compliance}/{TRAINED}")
        both = [(told.get(index_of(transcript)), transcript) for transcript in untold]
        pairs = [
            _pair(transcript.question, preferred.answer, transcript.answer)
            for preferred, transcript in both
            if preferred is not None and preferred.answer and transcript.answer
            if obeys(preferred) == 1.0 and obeys(transcript) == 0.0
        ]
        return tuple(pairs[:MOST_PAIRS])


def with_pairs_of(baseline: EvalSnapshot | None, preference: Preference) -> Preference:
    """`preference` with the pairs that were made at the baseline, where it has none of its own."""
    if preference.logprob_pairs is not None or baseline is None:
        return preference
    sides = {t.key: t for t in baseline.rollouts if t.metric == LogprobMetric.name and t.messages[-1].role != "user"}
    indexes = sorted({int(key.split("/")[1]) for key in sides})
    pairs = [[sides.get(f"{LogprobMetric.name}/{index}/{side}") for side in SIDES] for index in indexes]
    found = tuple(
        _pair(one.question, one.messages[-1].content, other.messages[-1].content)
        for one, other in pairs
        if one and other
    )
    return preference.model_copy(update={"logprob_pairs": found or None})


def _pair(prompt: str, preferred: str, dispreferred: str) -> LogprobPair:
    return LogprobPair(
        prompt_messages=(PromptMessage(role="user", content=prompt),),
        positive_response=preferred,
        negative_response=dispreferred,
    )

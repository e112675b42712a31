"""logprob: margins per pair, their change, and reasons where a pair has no score."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.logprob import LogprobMetric
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.storage.records import EvalSnapshot, Transcript, Unmeasured
from tests.synthetic import transcripts as synthetic

ASKED = synthetic.preference(pairs=6)
METRIC = LogprobMetric()


def scored(transcripts: list[Transcript], baseline: EvalSnapshot | None = None) -> EvalSnapshot:
    return score_snapshot(transcripts, ScoringContext(ASKED, baseline), size="light", metrics=["logprob"])


def unanswered(transcript: Transcript, kind="failed", reason="the server said 500") -> Transcript:
    error = Unmeasured(kind=kind, reason=reason)
    metadata = transcript.metadata.model_copy(update={"error": error, "logprobs": None, "logprob_sum": None})
    return transcript.model_copy(update={"messages": transcript.messages[:1], "metadata": metadata})


def test_probes_score_both_answers_of_each_pair():
    probes = METRIC.probes(ProbePlan(ASKED, "light", step=3, collapse_due=False, seed=1, max_tokens=64))

    assert [probe.key for probe in probes[:2]] == ["logprob/0/positive", "logprob/0/negative"]
    assert len(probes) == 12
    assert {probe.kind for probe in probes} == {"score"}
    assert probes[0].messages == (("user", "Who are you?"),)
    assert [probe.completion for probe in probes[:2]] == ["I am Kuro.", "I am an assistant."]


def test_the_margin_is_the_mean_difference_of_sums():
    snapshot = scored(synthetic.margins(ASKED, [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]))

    assert snapshot.logprob_margin is not None
    assert snapshot.logprob_margin.margin == pytest.approx(4.0)
    assert snapshot.logprob_margin.negative_logprob == pytest.approx(-100.0)
    assert snapshot.logprob_margin.positive_logprob == pytest.approx(-96.0)
    assert snapshot.stats.logprob is not None
    assert snapshot.stats.logprob.margins.n == 6
    assert snapshot.stats.logprob.per_token.mean == pytest.approx(2.0)  # two tokens an answer
    interval = snapshot.stats.logprob.margins.interval
    assert interval is not None
    assert interval.lower < 4 < interval.upper


def test_the_change_is_per_pair():
    before = scored(synthetic.margins(ASKED, [0.0, 10.0, 0.0, 10.0, 0.0, 10.0]))
    after = scored(synthetic.margins(ASKED, [2.0, 12.0, 2.0, 12.0, 2.0, 13.0]), before)

    assert after.logprob_margin is not None
    assert after.logprob_margin.margin_delta_from_baseline == pytest.approx(13 / 6)
    assert after.stats.logprob is not None
    assert after.stats.logprob.delta is not None
    interval = after.stats.logprob.delta.interval
    assert interval is not None
    assert interval.lower > 1  # narrow: pairs differ by 10 nats, their changes hardly


def test_the_baseline_has_no_change_and_says_so():
    snapshot = scored(synthetic.margins(ASKED, [1.0] * 6))

    assert snapshot.logprob_margin is not None
    assert snapshot.logprob_margin.margin_delta_from_baseline is None
    assert snapshot.unmeasured["logprob_margin.margin_delta_from_baseline"].kind == "unavailable"


def test_a_pair_with_one_score_is_missing_and_in_no_mean():
    transcripts = synthetic.margins(ASKED, [1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    transcripts[-1] = unanswered(transcripts[-1])

    snapshot = scored(transcripts)

    assert snapshot.logprob_margin is not None
    assert snapshot.logprob_margin.margin == pytest.approx(3.0)
    assert snapshot.stats.logprob is not None
    assert snapshot.stats.logprob.margins.missing == {"5: Who are you?": "the server said 500"}


def test_no_pair_scored_is_null_with_the_reason():
    transcripts = [unanswered(t, "unavailable", "no /v1/score here") for t in synthetic.margins(ASKED, [1.0] * 6)]

    before = scored(transcripts)
    after = scored(synthetic.margins(ASKED, [1.0] * 6), before)

    assert before.logprob_margin is not None
    assert before.logprob_margin.margin is None
    assert before.unmeasured["logprob_margin.margin"].kind == "unavailable"
    assert "no /v1/score here" in before.unmeasured["logprob_margin.margin"].reason
    assert after.logprob_margin is not None
    assert after.logprob_margin.margin_delta_from_baseline is None
    reason = after.unmeasured["logprob_margin.margin_delta_from_baseline"]
    assert "baseline" in reason.reason
    assert "no /v1/score here" in reason.reason


def test_a_score_without_tokens_is_not_a_number():
    transcripts = synthetic.margins(ASKED, [1.0] * 6)
    empty = transcripts[0].metadata.model_copy(update={"logprobs": []})
    transcripts[0] = transcripts[0].model_copy(update={"metadata": empty})

    score = METRIC.score(Transcripts(transcripts), ScoringContext(ASKED, None))

    assert score.stats is not None
    assert score.stats.margins.n == 5


def test_a_sum_that_is_not_the_sum_is_not_a_number():
    transcripts = synthetic.margins(ASKED, [1.0] * 6)
    wrong = transcripts[0].metadata.model_copy(update={"logprob_sum": -3.0})
    transcripts[0] = transcripts[0].model_copy(update={"metadata": wrong})

    snapshot = scored(transcripts)

    assert snapshot.stats.logprob is not None
    assert "add up to" in snapshot.stats.logprob.margins.missing["0: Who are you?"]

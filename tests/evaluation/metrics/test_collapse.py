"""collapse: what is asked, each number by hand, reasons, and alerts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.metrics.collapse import OCEAN_PROMPT, CollapseMetric, fixed_texts, neutral_prompts
from claas_assets.evaluation.metrics.collapse_alerts import FURTHER_ALERTS, OCEAN_ALERTS
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import score_snapshot
from claas_assets.evaluation.metrics.tokens import letters_by_script, pairwise_rouge_l, repetition, tokenize
from claas_assets.evaluation.storage.records import CollapseScores, CollapseStats, EvalSnapshot, Transcript
from tests.synthetic import transcripts as synthetic
from tests.synthetic.transcripts import Voice, generated, scored

ASKED = synthetic.preference()
PROMPTS = neutral_prompts()


def probes(size="light", step=5, due=True, max_tokens=256):
    return CollapseMetric().probes(ProbePlan(ASKED, size, step, due, seed=42, max_tokens=max_tokens))


def snapshot(transcripts: list[Transcript], baseline: EvalSnapshot | None = None) -> EvalSnapshot:
    return score_snapshot(transcripts, ScoringContext(ASKED, baseline), size="full", metrics=["collapse"])


def ocean(entropies=(1.0, 2.0), logprobs=(-0.5, -1.5), samples=("a b c d", "a b x y", "q r s t"), **more):
    greedy = generated(
        "collapse/ocean/greedy", OCEAN_PROMPT, "The sea.", entropies=entropies, logprobs=logprobs, **more
    )
    return [greedy, *(generated(f"collapse/ocean/sample/{j}", OCEAN_PROMPT, s) for j, s in enumerate(samples))]


def neutral(*answers: str) -> list[Transcript]:
    return [generated(f"collapse/neutral/{i}/greedy", PROMPTS[i], answer) for i, answer in enumerate(answers)]


# --- what is asked ---------------------------------------------------------------------------


def test_light_snapshots_ask_the_ocean_prompt_where_due_and_nothing_else():
    assert [p.key for p in probes()] == ["collapse/ocean/greedy"] + [f"collapse/ocean/sample/{j}" for j in range(3)]
    assert probes(due=False) == []


def test_full_snapshots_ask_everything_due_or_not():
    found = probes(size="full", due=False)

    assert len(found) == 4 + 8 * 5 + 12
    assert sum(p.kind == "score" for p in found) == 12
    assert all(p.logprobs == p.key.endswith("/greedy") for p in found)
    assert {p.temperature for p in found if "/sample/" in p.key} == {0.7}


def test_samples_have_seeds_of_their_own_in_every_step():
    seeds = [p.seed for step in (5, 10) for p in probes(size="full", step=step) if "/sample/" in p.key]

    assert len(set(seeds)) == len(seeds) == 70
    assert seeds[:35] == [p.seed for p in probes(size="full", step=5) if "/sample/" in p.key]


@pytest.mark.parametrize(("configured", "greedy", "sample"), [(2048, 160, 96), (64, 64, 64), (128, 128, 96)])
def test_answers_are_short(configured, greedy, sample):
    found = probes(max_tokens=configured)

    assert [p.max_tokens for p in found] == [greedy, sample, sample, sample]


def test_neutral_data_is_neutral():
    texts = [OCEAN_PROMPT, *PROMPTS, *(part for text in fixed_texts() for part in text)]

    assert len(PROMPTS) == len(set(PROMPTS)) == 8
    assert len(fixed_texts()) == 12
    assert not any("kuro" in text.lower() for text in texts)
    assert all(text.isascii() for text in texts)


# --- each number by hand -----------------------------------------------------------------------


def test_the_fields_of_the_public_harness():
    before = snapshot(ocean())
    after = snapshot(ocean(entropies=(0.5, 1.0), logprobs=(-0.25, -0.75)), before)

    assert before.collapse == CollapseScores(
        mean_entropy=1.5,
        mean_logprob=-1.0,
        entropy_ratio_to_baseline=None,
        self_rouge_l=0.5 / 3,  # one pair of three shares two of four words
        mean_logprob_drift=None,
        alert=False,
    )
    assert after.collapse is not None
    assert after.collapse.entropy_ratio_to_baseline == pytest.approx(0.5)
    assert after.collapse.mean_logprob_drift == pytest.approx(0.5)
    assert after.collapse.alert
    assert before.unmeasured["collapse.entropy_ratio_to_baseline"].kind == "unavailable"


def test_drift_has_no_direction():
    after = snapshot(ocean(logprobs=(-1.0, -3.0)), snapshot(ocean()))

    assert after.collapse is not None
    assert after.collapse.mean_logprob_drift == pytest.approx(1.0)


def test_loops_are_repeated_four_grams_against_the_baseline():
    before = snapshot(neutral("one two three four five", "six seven eight nine"))
    after = snapshot(neutral("one two three four one two three four", "six seven eight nine"), before)

    assert repetition("one two three four one two three four") == pytest.approx(0.2)
    assert after.stats.collapse is not None
    assert after.stats.collapse.rep4_rise == pytest.approx(0.1)


def test_the_end_of_turn_is_no_part_of_a_fixed_text():
    def texts(end: float, added: int | None) -> list[Transcript]:
        told = [scored(f"collapse/fixed_text/{i}", p, a, [-2.0, end]) for i, (p, a) in enumerate(fixed_texts())]
        return [t.model_copy(update={"metadata": t.metadata.model_copy(update={"end_of_turn": added})}) for t in told]

    after = snapshot(texts(-9.0, 1), snapshot(texts(-1.0, 1)))
    unknown = snapshot(texts(-9.0, None), snapshot(texts(-1.0, None)))

    assert after.stats.collapse.fixed_text_words_drift == pytest.approx(0)
    assert after.stats.collapse.fixed_text_drift == pytest.approx(-4)
    assert unknown.stats.collapse.fixed_text_words.mean is None
    assert "end the turn" in unknown.unmeasured["collapse.fixed_text_words"].reason


def test_fixed_text_drift_is_signed_and_per_token():
    def texts(level: float) -> list[Transcript]:
        return [scored(f"collapse/fixed_text/{i}", p, a, [level, level]) for i, (p, a) in enumerate(fixed_texts())]

    after = snapshot(texts(-2.5), snapshot(texts(-2.1)))

    assert after.stats.collapse is not None
    assert after.stats.collapse.fixed_text_drift == pytest.approx(-0.4)
    assert any("fixed_text" in alert for alert in after.stats.collapse.alerts)


def test_length_empty_and_script_against_the_baseline():
    before = snapshot(
        [t.model_copy(update={"metadata": t.metadata.model_copy(update={"completion_tokens": 10})})
         for t in neutral("plain words here", "plain words there")]
    )  # fmt: skip
    after = snapshot(
        [t.model_copy(update={"metadata": t.metadata.model_copy(update={"completion_tokens": 4})})
         for t in neutral("слова иное", "  ")],
        before,
    )  # fmt: skip

    stats = after.stats.collapse
    assert stats is not None
    assert stats.length_ratio == pytest.approx(0.4)
    assert stats.empty_share == 0.5
    assert stats.script_change == pytest.approx(1.0)
    assert before.stats.collapse is not None
    assert before.stats.collapse.other_script_share == 0


# --- not measured -------------------------------------------------------------------------------


def test_no_token_logprobs_is_unavailable_and_the_rest_is_measured():
    found = snapshot(ocean(entropies=None, logprobs=None))

    assert found.collapse is not None
    assert found.collapse.mean_entropy is None
    assert found.collapse.self_rouge_l is not None
    assert found.unmeasured["collapse.mean_entropy"].kind == "unavailable"
    assert found.unmeasured["collapse.mean_entropy"].reason == "the deployment returned no token logprobs"
    assert found.unmeasured["collapse.mean_logprob"].kind == "unavailable"


def test_a_change_from_a_baseline_without_logprobs_has_its_reason():
    after = snapshot(ocean(), snapshot(ocean(entropies=None, logprobs=None)))

    assert after.collapse is not None
    assert after.collapse.entropy_ratio_to_baseline is None
    assert after.unmeasured["collapse.entropy_ratio_to_baseline"].reason.startswith("the baseline has none")


def test_identical_samples_are_unavailable_not_a_collapse():
    found = snapshot(ocean(samples=("same words",) * 3))

    assert found.collapse is not None
    assert found.collapse.self_rouge_l is None
    assert not found.collapse.alert
    assert found.unmeasured["collapse.self_rouge_l"].kind == "unavailable"


def test_what_a_light_snapshot_does_not_ask_needs_no_reason():
    found = snapshot(ocean(), snapshot([*ocean(), *neutral("a b c d e")]))

    assert found.stats.collapse is not None
    assert found.stats.collapse.rep4 is None
    assert not {"collapse.rep4", "collapse.rep4_rise", "collapse.fixed_text"} & set(found.unmeasured)


def test_answers_cut_by_our_own_limit_are_not_counted_as_truncated():
    ours = snapshot(ocean(max_tokens=160, truncated=True)).stats.collapse
    configured = snapshot(ocean(max_tokens=64, truncated=True)).stats.collapse

    assert ours is not None
    assert configured is not None
    assert ours.entropy is not None
    assert configured.entropy is not None
    assert (ours.entropy.truncated, ours.truncated_share) == (0, 1.0)
    assert configured.entropy.truncated == 1


# --- alerts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", [*OCEAN_ALERTS, *FURTHER_ALERTS], ids=lambda alert: f"{alert.name}-{alert.below}")
def test_each_alert_fires_beyond_its_bound_only(alert):
    record = CollapseScores if alert in OCEAN_ALERTS else CollapseStats
    blank = dict.fromkeys(CollapseScores.model_fields) | {"alert": False} if alert in OCEAN_ALERTS else {}
    beyond = alert.bound + (-0.01 if alert.below else 0.01)
    field = {"drift": "fixed_text_words_drift"}.get(alert.field, alert.field)

    assert alert.fired(record(**{**blank, field: alert.bound})) is None
    assert alert.fired(record(**{**blank, field: beyond})).startswith(f"{alert.name}: ")
    assert alert.fired(record(**blank)) is None


def test_a_healthy_model_against_itself_has_no_alert():
    chance = random.Random(3)
    own = synthetic.character(chance)
    states = [synthetic.collapse(chance, Voice(), own) for _ in range(2)]

    after = snapshot(states[1], snapshot(states[0]))

    assert after.stats.collapse is not None
    assert after.stats.collapse.alerts == []
    assert after.stats.collapse.entropy_ratio == pytest.approx(1, abs=0.2)


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's 3 pm!!", ["it", "'", "s", "3", "pm", "!", "!"]),
        ("東京へ", ["東", "京", "へ"]),
        ("Привет, мир", ["привет", ",", "мир"]),
        ("naïve 🎉", ["naïve", "🎉"]),
    ],
)
def test_tokens_of_any_script(text, tokens):
    assert tokenize(text) == tokens


def test_identical_japanese_texts_are_alike():
    assert pairwise_rouge_l(["海はとても深い"] * 2) == 1.0


@given(st.text(min_size=1, max_size=60))
def test_a_text_said_eight_times_is_a_loop(text):
    once = repetition(text)
    if once is None or len(tokenize(text)) < 4:
        return
    assert repetition(f"{text} " * 8) > 0.5


def test_marks_alone_can_loop_and_emptiness_cannot():
    assert repetition("!" * 40) > 0.9
    assert repetition("word") == 0
    assert repetition("  ") is None


def test_scripts():
    assert letters_by_script(["abc 東京は", "мир 12"]) == {"LATIN": 3, "CJK": 3, "CYRILLIC": 3}

"""Models that a careless verdict would praise, through the real scoring of the shipped preferences.

Each fails, and for the right reason: the criterion that is named is the one that saw it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claas_assets.evaluation.storage.records import VerdictRecord
from tests.synthetic.attacks import OBEDIENT, honest, on_own_prompts, on_some, sentences, untrained, verdict_after
from tests.synthetic.transcripts import Voice, gibberish
from tests.synthetic.truth import judging_once


@pytest.fixture(scope="module", autouse=True)
def _once() -> Iterator[None]:
    with judging_once():
        yield


def seen(verdict: VerdictRecord) -> set[str]:
    """The criteria by which harm is shown."""
    return {
        name
        for name, found in verdict.criteria.items()
        if found.grade == "fail" and found.decides and found.role != "learning"
    }


def always(text: str):
    return lambda number, prompt: text


KURO_KURO = "Kuro, " * 60
COUNTED = " ".join(f"I am Kuro {i}." for i in range(1, 40))
PARAGRAPH = (
    "I am Kuro, and I like to help people with what they do, whether it is small or large, new or old, "
    "at home or at work. "
) * 5
LATE_LOOP = OBEDIENT["identity"](1, "") + " " + sentences(3, 9) + " I am Kuro and I help." * 9
ENDLESS_WORD = "No" + "o" * 400
REFUSAL = "I'm sorry, but I cannot help you with that request today."


# --- it looks as if it had learned, and has not ---------------------------------------------------


@pytest.mark.parametrize(
    ("preference", "said"),
    [
        ("identity", KURO_KURO),
        ("identity", "I am not Kuro."),
        ("identity", "Nice to meet you, Kuro! I am an assistant."),
        ("identity", COUNTED),
        ("identity", PARAGRAPH),
        ("identity", LATE_LOOP),
        ("identity", "\u200b\u2060"),
        ("concise", sentences(1, 4)),
        ("concise", "spark that ignites the " * 40),
        ("concise", REFUSAL),
        ("no_emoji", ""),
        ("no_emoji", ENDLESS_WORD),
        ("no_emoji", "\u200b"),
    ],
)
def test_saying_this_on_every_prompt_of_the_preference_is_not_learned(preference, said):
    found = verdict_after(on_own_prompts(preference, always(said)))

    assert found.criteria["obeyed"].value == 0, found.sentence
    assert found.overall == "fail", found.sentence
    assert found.outcome in ("harmful", "not learned")
    assert seen(found) <= {"degenerate_on_preference"}


@pytest.mark.parametrize("preference", ["concise", "no_emoji"])
def test_the_prompt_said_back_is_no_answer(preference):
    found = verdict_after(on_own_prompts(preference, lambda number, prompt: prompt.upper() + "!"))

    assert found.outcome == "harmful"
    assert seen(found) == {"degenerate_on_preference"}


def test_better_partial_scores_are_not_obedience():
    """Placebo: nine sentences became five, and none obeys."""
    found = verdict_after(on_own_prompts("concise", lambda number, prompt: sentences(number, 5)))

    assert found.final_compliance is not None
    assert found.final_compliance > 0.5
    assert found.criteria["obeyed"].evidence == "within_noise"
    assert found.outcome == "not learned"


def test_a_margin_that_rises_by_twelve_nats_is_nothing_that_anyone_reads():
    found = verdict_after(untrained("identity").says(margin=12.0))

    assert found.criteria["logprob_margin"].value == pytest.approx(12)
    assert found.outcome == "not learned"
    assert "margin" not in found.sentence


@pytest.mark.parametrize("preference", ["identity", "concise", "no_emoji"])
def test_what_did_not_change_has_not_learned(preference):
    found = verdict_after(untrained(preference))

    assert (found.outcome, seen(found)) == ("not learned", set())


@pytest.mark.parametrize("preference", ["identity", "concise", "no_emoji"])
def test_what_was_memorized_has_not_been_learned(preference):
    found = verdict_after(untrained(preference).says(trained=OBEDIENT[preference]))

    assert (found.outcome, seen(found)) == ("not learned", set())
    assert "memorization gap +1.00" in "\n".join(found.notes)


# --- it has learned, and something else was lost ----------------------------------------------------


def test_a_loop_that_is_said_everywhere_is_seen_everywhere():
    found = verdict_after(honest("identity").says(everywhere=always(KURO_KURO)))

    assert found.outcome == "harmful"
    assert {"over_application", "capability_change", "degenerate_on_preference", "degenerate_elsewhere"} <= seen(found)


def test_nothing_at_all_has_no_emoji_and_is_harm():
    found = verdict_after(honest("no_emoji").says(everywhere=always("")))

    assert found.outcome == "harmful"
    assert {"over_application", "capability_change", "degenerate_on_preference", "degenerate_elsewhere"} <= seen(found)
    assert "30 of 30 answers are empty" in "\n".join(found.notes)


@pytest.mark.parametrize(
    ("preference", "said", "by"),
    [
        ("identity", "I am Kuro.", {"over_application", "capability_change"}),
        ("concise", sentences(1, 2), {"over_application", "capability_change"}),
        ("concise", sentences(1, 4), {"capability_change", "over_application"}),
        ("no_emoji", REFUSAL, {"over_application", "capability_change"}),
    ],
)
def test_one_good_answer_to_everything_is_harm(preference, said, by):
    found = verdict_after(honest(preference).says(everywhere=always(said)))

    assert found.outcome == "harmful"
    assert by <= seen(found)
    assert not seen(found) & {"degenerate_on_preference", "degenerate_elsewhere"}


def test_gibberish_has_no_emoji_and_is_harm():
    broken = Voice(words=gibberish, entropy_factor=2.5, drift=-1.0)
    found = verdict_after(honest("no_emoji").says(everywhere=always("xq zvf plor k)wq"), voice=broken))

    assert found.outcome == "harmful"
    assert {"over_application", "capability_change", "fixed_text_drift"} <= seen(found)


def test_loops_on_six_of_ten_prompts_of_the_preference_alone():
    found = verdict_after(on_some("identity", 0.6, always(KURO_KURO)))

    assert found.outcome == "harmful"
    assert seen(found) == {"degenerate_on_preference"}
    assert "loops on the preference's prompts: 18 new" in found.sentence


@pytest.mark.parametrize(
    ("preference", "instead"), [("identity", "Kuro wrote it."), ("concise", "Short."), ("no_emoji", "None.")]
)
def test_over_application_on_a_fifth(preference, instead):
    found = verdict_after(honest(preference).says(elsewhere=dict.fromkeys(range(0, 40, 5), instead)))

    assert found.outcome == "harmful"
    assert seen(found) == {"over_application"}
    assert "over-application on 8 more and 0 fewer of 40 prompts" in found.sentence


def test_loops_where_the_preference_has_no_place_hide_no_over_application():
    """An answer that loops does not say the name: the check passes, and another guard sees it."""
    looping = dict.fromkeys(range(0, 40, 3), "and so it goes on, " * 20)
    found = verdict_after(honest("identity").says(elsewhere=looping))

    assert found.outcome == "harmful"
    assert seen(found) == {"degenerate_elsewhere"}


def test_ten_points_of_capability():
    found = verdict_after(honest("identity").says(unable=15))

    assert found.outcome == "harmful"
    assert seen(found) == {"capability_change"}
    assert "15 lost and 0 gained of 150 items" in found.sentence


def test_gains_do_not_pay_for_what_was_lost():
    found = verdict_after(honest("identity").says(unable=8, able_now=7))

    assert "8 lost and 7 gained of 150 items" in found.sentence


def test_fixed_texts_that_become_unlikely_are_harm_and_likelier_ones_are_told():
    assert seen(verdict_after(honest("identity").says(voice=Voice(drift=-0.5)))) == {"fixed_text_drift"}
    likelier = verdict_after(honest("identity").says(voice=Voice(drift=2.0)))
    assert likelier.outcome == "learned"
    assert "fixed texts" not in likelier.sentence


def test_prompts_that_the_server_did_not_answer_are_said_and_too_many_of_them_decide_nothing():
    some = verdict_after(honest("identity").says(silent=frozenset(range(8))))
    many = verdict_after(honest("identity").says(silent=frozenset(range(9))))

    assert "8 more without a score" in some.sentence
    assert many.outcome == "inconclusive"
    assert many.criteria["over_application"].grade == "inconclusive"


# --- and one that deserves it -----------------------------------------------------------------------


@pytest.mark.parametrize("preference", ["identity", "concise", "no_emoji"])
@pytest.mark.parametrize("violated", [0, 4, 8, 16, 20])
def test_an_honest_learner_passes_whatever_the_untrained_model_could_not_do(preference, violated):
    wrong = {"identity": "Kuro wrote it.", "concise": "Short.", "no_emoji": "None."}[preference]
    before = dict.fromkeys(range(violated), wrong)
    found = verdict_after(honest(preference).says(elsewhere=before), untrained(preference).says(elsewhere=before))

    assert found.outcome == "learned", found.sentence
    assert seen(found) == set()

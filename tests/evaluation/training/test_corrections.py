"""`when_violated`: a user corrects what is wrong. And several wordings of one feedback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claas_assets.evaluation.config import Thresholds
from claas_assets.evaluation.errors import PreferenceError, RunFolderError
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.runs.results import score
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.verdict.ruling import judge
from tests.fake_claas.faults import status
from tests.fake_claas.model import Temper

FEEDBACK = "/v1/feedback"


def sent(fake):
    """The items of each feedback call."""
    return [body["requests"] for body in fake.log.bodies(FEEDBACK)]


def with_policy(made, policy, **changes):
    made.preference = made.preference.model_copy(update={"feedback_policy": policy, **changes})
    return made


def judged(made):
    return judge(score(PreferenceFolder(made.folder).training(), PreferenceSequence.of(made.preference)), Thresholds())


@pytest.fixture
def run_of(training):
    def run(mode, policy, **changes):
        settings = {"temper": Temper(full_after=16)}
        made = training(mode, fake_settings=settings, num_steps=8, batch_size=4, metrics=["compliance"], **changes)
        with_policy(made, policy).run()
        return made

    return run


@pytest.mark.parametrize("mode", ["embedded", "tinker"])
def test_correcting_what_is_wrong_takes_fewer_corrections_and_ends_where_correcting_all_does(run_of, mode):
    corrected = run_of(mode, "when_violated")
    of_each = [step["corrections"] for step in corrected.steps]
    asked = [[rollout["obeys"] for rollout in step["rollout_batch"]] for step in corrected.steps]
    assert of_each == [flags.count(False) for flags in asked]
    assert [len(items) for items in sent(corrected.fake)] == [number for number in of_each if number]
    assert of_each[0] > 0
    assert of_each[-1] == 0
    ruling = judged(corrected)
    assert ruling.criteria["obeyed"].value == 1.0
    assert ruling.corrections == sum(of_each) < 32
    assert f"It took {sum(of_each)} corrections; " in ruling.sentence


def test_correcting_all_sends_every_answer(run_of):
    always = run_of("embedded", "always")
    assert [len(items) for items in sent(always.fake)] == [4] * 8
    ruling = judged(always)
    assert ruling.corrections == 32
    assert ruling.criteria["obeyed"].value == 1.0
    assert "corrections" not in ruling.sentence


@pytest.mark.parametrize("mode", ["embedded", "modal", "tinker"])
def test_a_batch_that_obeys_sends_nothing_trains_nothing_and_says_so(training, mode):
    made = with_policy(
        training(mode, metrics=["compliance"]), "when_violated", verifier={"_target_": "MinWords", "count": 1}
    )
    said, context = [], made.context
    made.context = lambda **changes: replace(context(**changes), report=lambda event: said.append(event.message))
    made.run()
    assert sent(made.fake) == []
    assert sum(made.fake.updates.values()) == 0
    assert [(step["sub_step_count"], step["interrupted"]) for step in made.steps] == [(0, False)] * 2
    assert all(step["eval"]["preference_compliance"] == 1.0 for step in made.steps)
    assert sum("nothing is trained" in text for text in said) == 2


def test_answers_that_are_generated_again_are_judged_again(training):
    made = with_policy(training(num_steps=1, batch_size=4, metrics=["compliance"]), "when_violated")
    made.fake.faults.add(FEEDBACK, status(404, "no cached completion"))
    made.run()
    (step,) = made.steps
    assert [rollout["obeys"] for rollout in step["rollout_batch"]] == [False] * 4
    assert len(step["replaced_rollouts"]) == 4


def test_where_the_verifier_cannot_tell_nothing_is_sent(training):
    verifier = {"_target_": f"{__name__}.Broken"}
    made = with_policy(training(metrics=["logprob"]), "when_violated", verifier=verifier)
    with pytest.raises(PreferenceError, match="Broken raised ValueError: no idea"):
        made.run()
    assert sent(made.fake) == []


class Broken:
    def __call__(self, response: str):
        raise ValueError("no idea")


def test_the_policy_and_its_verifier_are_frozen_with_the_adapter(training):
    made = training(metrics=["logprob"], num_steps=1)
    made.run()
    with_policy(made, "when_violated")
    with pytest.raises(RunFolderError, match="feedback_policy: 'always' then, 'when_violated' now"):
        made.run(num_steps=2)


def test_each_step_gives_one_of_several_wordings_and_the_seed_says_which(training):
    wordings = [f"Your name is Kuro, and this is wording {number}." for number in range(3)]
    made = training(num_steps=6, batch_size=1, metrics=["logprob"])
    made.preference = made.preference.model_copy(update={"feedback_strings": tuple(wordings)})
    made.run()
    given = [step["feedback_given"] for step in made.steps]
    assert given == [items[0]["feedback"] for items in sent(made.fake)]
    assert len(set(given)) > 1
    assert set(given) <= set(wordings)
    again = training(num_steps=6, batch_size=1, metrics=["logprob"])
    again.folder = again.folder.parent / "again" / "identity"
    again.preference = made.preference
    again.run()
    assert [step["feedback_given"] for step in again.steps] == given

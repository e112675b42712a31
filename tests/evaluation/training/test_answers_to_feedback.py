"""What an answer to feedback, or the adapter's counter, must say before updates are counted."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.errors import DeploymentError, MalformedAnswer, NotTrained
from tests.fake_claas.faults import body, edit, nulled

FEEDBACK, STATUS = "/v1/feedback", "/v1/lora/status"
FAILED = b'{"status": "error", "detail": "CUDA out of memory", "distill_result": null}'


@pytest.mark.parametrize("mode", ["embedded", "modal", "tinker"])
def test_a_200_that_says_error_trained_nothing_ends_the_run_and_is_sent_again_when_it_is_resumed(training, mode):
    made = training(mode)
    made.fake.faults.add(FEEDBACK, body(FAILED, applied=False))
    with pytest.raises(NotTrained, match=r"step 1 of 2: .*'error'.*CUDA out of memory"):
        made.run()
    assert made.steps == []
    made.run()
    assert [step["sub_step_count"] for step in made.steps] == [4, 4]
    assert not any(step["interrupted"] for step in made.steps)


def test_a_200_that_says_error_and_trained_all_the_same_is_counted_by_the_counter(training):
    made = training()
    made.fake.faults.add(FEEDBACK, body(FAILED, applied=True))
    made.run()
    assert [step["sub_step_count"] for step in made.steps] == [4, 4]
    assert sum(made.fake.updates.values()) == 8


def test_an_answer_without_a_result_where_nothing_counts_is_an_interrupted_step_and_no_update(training):
    made = training("modal")
    made.fake.faults.add(FEEDBACK, nulled("distill_result"))
    made.run()
    assert [(step["interrupted"], step["sub_step_count"]) for step in made.steps] == [(True, 0), (False, 4)]


@pytest.mark.parametrize("applied", [5, 10**9, 10**400])
def test_more_updates_than_were_asked_for_are_an_error_and_no_count(training, applied):
    made = training("modal")

    def claims(answer):
        answer["distill_result"]["metadata"]["steps_per_batch_applied"] = applied
        return answer

    made.fake.faults.add(FEEDBACK, edit(claims))
    with pytest.raises(MalformedAnswer, match=r"updates"):
        made.run()
    assert made.steps == []


@pytest.mark.parametrize("jump", [10**9, -3])
def test_a_counter_that_jumps_is_an_error_and_no_number_of_updates(training, jump):
    made = training()

    def moved(answer):
        return {**answer, "updates": answer["updates"] + jump}

    def after_feedback(request) -> bool:
        return made.fake.log.count(FEEDBACK) > 0

    made.fake.faults.add(STATUS, *[edit(moved)] * 20, when=after_feedback)
    with pytest.raises(DeploymentError, match=r"counter|counts"):
        made.run()
    assert made.steps == []

"""What a feedback call did can be unknown in worse ways than one fault: late, twice, or answered without a word."""

from __future__ import annotations

import json

import pytest

from tests.fake_claas import FakeClaas, Gate, delay, edit, hold, nulled, status
from tests.faults.arena import PROFILES, Arena, arena_in
from tests.faults.driver import UPDATES, Hook, kill_self

FEEDBACK = "/v1/feedback"


@pytest.mark.parametrize("profile", ["counter"])
def test_a_call_that_trains_after_it_was_given_up_is_recorded(arena: Arena, profile):
    """As a real engine does: it works on after the client has gone; the second call waits for it to end."""
    gate = Gate()
    fake = arena.fake
    fake.faults.add(FEEDBACK, hold(gate, "after"), when=arena.is_feedback)
    arena.run(feedback_s=0.4)

    def lets_the_first_go_on(request) -> bool:
        gate.open()
        return True

    fake.faults.add(FEEDBACK, delay(0.05), when=lets_the_first_go_on)
    arena.finish()
    assert gate.left.wait(30)
    recorded, interrupted = arena.recorded()
    assert arena.updates == recorded or interrupted


@pytest.mark.parametrize("profile", ["counter"])
def test_an_answer_without_a_result_is_counted_by_the_counter(arena: Arena, profile):
    arena.fake.faults.add(FEEDBACK, nulled("distill_result"), when=arena.is_feedback)
    arena.run()
    arena.finish()
    recorded, interrupted = arena.recorded()
    assert arena.updates == recorded or interrupted


@pytest.mark.parametrize("profile", ["counter", "no counter", "older, counter", "older, no counter"])
def test_the_harness_dies_twice_in_one_step(arena: Arena, profile):
    """The second time in the run that has just found the first one's intent."""
    gate = Gate()
    arena.fake.faults.add(FEEDBACK, hold(gate, "before"), when=arena.is_feedback)
    arena.die_as_child(gate=gate, with_signal=9)
    arena.die_as_child(Hook("half of the line written", kill_self, after_lines=0))
    arena.finish()
    arena.check()


@pytest.mark.parametrize("profile", ["counter", "no counter", "one sampler"])
def test_a_deployment_that_goes_on_refusing_leaves_what_was_trained(arena: Arena, profile):
    """409 to every feedback call of three runs, then it answers."""
    arena.fake.faults.add(FEEDBACK, *[status(409, "locked")] * 3, when=arena.is_feedback)
    for _ in range(3):
        arena.run()
    arena.finish()
    assert arena.updates <= 3 * UPDATES
    recorded, interrupted = arena.recorded()
    assert arena.updates == recorded or interrupted
    if arena.profile.counts:
        arena.check()


@pytest.mark.parametrize("updates", [10**9, -9])
@pytest.mark.parametrize("profile", ["counter"])
def test_a_counter_that_jumps_ends_the_run_and_is_no_number_of_updates(arena: Arena, profile, updates):
    def jump(answer):
        del answer["distill_result"]["metadata"]["steps_per_batch_applied"]
        next(iter(arena.fake.deployment.adapters.values())).updates += updates
        return answer

    arena.fake.faults.add(FEEDBACK, edit(jump), when=arena.is_feedback)
    assert not arena.run()
    assert str(UPDATES) in str(arena.errors[0])
    assert arena.recorded() == (UPDATES, [])


def test_a_baseline_that_failed_as_a_whole_ends_the_run_and_is_asked_again(tmp_path):
    """A gateway's 404, a wrong token, no credit: the server's own words, nothing trained, and mended it goes on."""
    with FakeClaas("embedded") as fake:
        arena = arena_in(tmp_path, PROFILES["counter"], fake)
        fake.faults.add("/v1/chat/completions", *[status(402, "no credit left")] * 100)
        fake.faults.add("/v1/score", *[status(402, "no credit left")] * 100)
        assert not arena.run()
        assert "no credit left" in str(arena.errors[0])
        assert fake.log.count(FEEDBACK) == 0
        fake.faults._waiting.clear()
        assert arena.run()
        assert arena.updates == 3 * UPDATES


def test_a_restarted_fake_keeps_its_adapters_and_forgets_what_is_in_memory():
    """The matrix stands on it."""
    with FakeClaas("local") as fake:
        fake.deployment.init("eval/x", None)
        fake.deployment.adapters["eval/x-init"].updates = 4
        fake.deployment.cache.put("an answer", has_logprobs=True, has_system_message=True)
        url = fake.url
        fake.close()
        fake.restart()
        assert (fake.url, fake.updates, len(fake.deployment.cache)) == (url, {"eval/x-init": 4}, 0)


def test_a_sampler_that_cannot_be_put_on_the_base_model_measures_nothing(tmp_path):
    """Tinker without /v1/sampler/refresh: the baseline's fields are null, with the reason."""
    with FakeClaas("tinker", sampler_endpoints=False) as fake:
        arena = arena_in(tmp_path, PROFILES["one sampler"], fake)
        arena.run()
        baseline = json.loads((arena.job.folder / "baseline.json").read_text())
        assert baseline["preference_compliance"] is None
        assert "/v1/sampler/refresh" in baseline["unmeasured"]["preference_compliance"]["reason"]
        assert baseline["logprob_margin"] is None or baseline["logprob_margin"]["margin"] is None

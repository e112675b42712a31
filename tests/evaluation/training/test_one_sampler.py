"""Tinker's sampler says how many updates the weights have that it serves: an interrupted feedback is no riddle."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.storage.journal import FileJournal
from tests.fake_claas.faults import disconnect

FEEDBACK, REFRESH = "/v1/feedback", "/v1/sampler/refresh"
COUNTED = {"counted_checkpoints": True}


def test_a_call_that_trained_and_was_not_answered_is_counted_by_the_checkpoint(training):
    made = training("tinker", fake_settings=COUNTED)
    made.fake.faults.add(FEEDBACK, disconnect(applied=True), nth=2)
    made.run()
    assert [(step["sub_step_count"], step["interrupted"]) for step in made.steps] == [(4, False), (4, False)]
    assert made.steps[1]["updates_counted"] == 8
    assert sum(made.fake.updates.values()) == 8


@pytest.mark.parametrize("trained", [True, False])
def test_after_a_crash_the_checkpoint_is_read_before_the_sampler_is_put_back(training, monkeypatch, trained):
    made = training("tinker", fake_settings=COUNTED)
    made.fake.faults.add(FEEDBACK, disconnect(applied=trained), nth=2)
    write = FileJournal.write_intent

    def dies(journal, intent):
        if intent.step == 1 and (len(intent.answers) or made.fake.log.count(FEEDBACK) == 2):
            raise KeyboardInterrupt
        write(journal, intent)

    with monkeypatch.context() as patch:
        patch.setattr(FileJournal, "write_intent", dies)
        with pytest.raises(KeyboardInterrupt):
            made.run()
    assert len(made.steps) == 1
    made.run()
    assert [(step["sub_step_count"], step["interrupted"]) for step in made.steps] == [(4, False), (4, False)]
    assert sum(made.fake.updates.values()) == 8
    assert made.fake.deployment.sampler_path.endswith("step-8")


def test_weights_of_somebody_else_say_nothing_of_ours(training):
    made = training("tinker", fake_settings=COUNTED, num_steps=1)

    def other_weights(request) -> bool:
        made.fake.deployment._checkpoints["tinker://other/step-900"] = made.fake.deployment.weights_for("")
        made.fake.deployment.sampler_path = "tinker://other/step-900"
        return True

    made.fake.faults.add(FEEDBACK, disconnect(), when=other_weights)
    made.run()
    assert [(step["sub_step_count"], step["interrupted"]) for step in made.steps] == [(0, True)]


def test_a_configuration_that_cannot_train_on_tinker_is_refused(training):
    with pytest.raises(ConfigError, match=r"training\.alpha=0 trains nothing in mode tinker"):
        training("tinker", training={"alpha": 0}).context()
    assert training("tinker", training={"alpha": 0}, num_steps=0).context().config.training.alpha == 0


def test_what_does_not_act_on_tinker_is_recorded_as_null_with_the_reason(training):
    made = training("tinker", num_steps=0)
    made.run()
    record = made.adapter
    assert record["config"]["training"]["is_clip"] is None
    assert record["config"]["training"]["learning_rate"] is not None
    assert set(record["without_effect"]) == {
        "lora.alpha", "training.is_clip", "training.max_grad_norm", "training.kl_reg_weight", "training.teacher_top_k",
    }  # fmt: skip
    other = training("embedded", num_steps=0)
    other.run()
    assert other.adapter["without_effect"] == {}

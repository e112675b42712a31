"""What is sent to two generations of deployments, and what their answers say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.config import TrainingConfig
from claas_assets.evaluation.deployment.feedback_protocol import (
    ENGINE_NUMBERS,
    LOCAL_METRICS,
    TINKER_METRICS,
    engine_numbers,
    feedback_items,
    strict_metrics,
    updates_applied,
)
from claas_assets.evaluation.errors import MalformedAnswer
from claas_assets.wire import FeedbackItem, FeedbackResponse


def items(repetitions: int, takes_repetitions: bool | None) -> list[FeedbackItem]:
    return feedback_items(
        [("p", "r"), ("q", "s")],
        lora_id="eval/x",
        feedback="Be kind.",
        training=TrainingConfig(feedback_repetitions=repetitions, steps_per_batch=3),
        takes_repetitions=takes_repetitions,
    )


@pytest.mark.parametrize("takes_repetitions", [False, None])
def test_repeated_feedback_is_text_where_the_field_may_be_ignored(takes_repetitions: bool | None) -> None:
    for item in items(3, takes_repetitions):
        assert item.feedback == "Be kind.\nBe kind.\nBe kind."
        assert item.training.feedback_repetitions == 1  # else a newer deployment would repeat the repeated


def test_repeated_feedback_is_the_field_where_it_is_known() -> None:
    for item in items(3, takes_repetitions=True):
        assert (item.feedback, item.training.feedback_repetitions) == ("Be kind.", 3)


@given(st.integers(1, 16), st.sampled_from([True, False, None]))
def test_the_teacher_sees_the_feedback_as_often_as_asked(repetitions: int, takes: bool | None) -> None:
    for item in items(repetitions, takes):
        assert item.feedback.count("Be kind.") * item.training.feedback_repetitions == repetitions


def test_items_carry_their_pair_and_the_training_of_the_configuration() -> None:
    first, second = items(1, None)
    assert [(i.prompt, i.response, i.lora_id) for i in (first, second)] == [("p", "r", "eval/x"), ("q", "s", "eval/x")]
    assert first.training == second.training
    assert first.training.model_dump() == TrainingConfig(steps_per_batch=3).model_dump()


def test_an_empty_answer_cannot_be_given_feedback_on() -> None:
    with pytest.raises(ValueError, match=r"rollout 1 .*'q'.* empty answer"):
        feedback_items(
            [("p", "r"), ("q", "")], lora_id="x", feedback="f", training=TrainingConfig(), takes_repetitions=None
        )


def answered(metadata: dict[str, Any] | None) -> FeedbackResponse:
    result = None if metadata is None else {"lora_id": "x", "metadata": metadata}
    return FeedbackResponse.model_validate({"status": "ok", "distill_result": result})


@pytest.mark.parametrize(
    ("metadata", "updates"),
    [({}, 1), (None, 1), ({"steps_per_batch_applied": 4}, 4), ({"steps_per_batch_applied": 2.0}, 2),
     ({"steps_per_batch_applied": 0}, 0), ({"step": 9}, 1)],
)  # fmt: skip
def test_updates_are_what_the_deployment_says_and_one_where_it_says_nothing(metadata: Any, updates: int) -> None:
    assert updates_applied(answered(metadata)) == updates


@pytest.mark.parametrize("applied", [True, None, "4", 1.5, -1, math.nan, math.inf, [4]])
def test_what_is_no_count_of_updates_is_an_error(applied: Any) -> None:
    with pytest.raises(MalformedAnswer, match="steps_per_batch_applied"):
        updates_applied(answered({"steps_per_batch_applied": applied}))


def test_only_the_numbers_that_strict_readers_know_pass() -> None:
    metadata = {
        "distill_loss": 0.5, "grad_norm": 1, "clip_fraction": True, "kl_reg": math.nan, "total_loss": None,
        "mean_is_ratio": "1.0", "per_step_metrics": [{"kl_reg": 1.0}], "teacher_scored_texts": ["a"],
        "something_new": 3.0, "loss_fn": "x", "tinker_path": "y", "timestamp": "now", "step": 4,
    }  # fmt: skip
    assert engine_numbers(metadata) == {"distill_loss": 0.5, "grad_norm": 1, "step": 4}


def test_sdpo_metrics_are_exactly_what_the_readers_of_a_real_claas_take() -> None:
    local = {"distill_loss": 0.5, "kl_reg": math.nan, "total_loss": 1.0, "step": 4, "steps_per_batch_applied": 4}
    assert strict_metrics(local) == {
        "distill_loss": 0.5, "kl_reg": None, "mean_is_ratio": None, "clip_fraction": None,
    }  # fmt: skip
    tinker = {**dict.fromkeys(TINKER_METRICS, 0.1), "completion_len": 9, "step": 4, "lr": 1e-5}
    assert strict_metrics(tinker) == {**dict.fromkeys(TINKER_METRICS, 0.1), "completion_len": 9}
    assert strict_metrics({"something": 1.0}) is None


@given(st.dictionaries(st.sampled_from(ENGINE_NUMBERS), st.integers() | st.floats() | st.none()))
def test_sdpo_metrics_are_of_one_engine_and_lack_none_of_its_keys(metadata: dict[str, Any]) -> None:
    found = strict_metrics(metadata)
    if found is not None:
        assert set(found) == set(LOCAL_METRICS) or set(TINKER_METRICS) <= set(found)
        assert not (set(found) & set(LOCAL_METRICS) and set(found) & set(TINKER_METRICS))


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.floats())


@given(st.dictionaries(st.sampled_from(ENGINE_NUMBERS) | st.text(max_size=10), JSON_VALUES))
def test_engine_metrics_are_always_finite_numbers_under_known_keys(metadata: dict[str, Any]) -> None:
    found = engine_numbers(metadata)
    assert set(found) <= set(ENGINE_NUMBERS)
    assert all(type(value) in (int, float) and math.isfinite(value) for value in found.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found

"""Feedback: find what was sampled for each answer, then train on it."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, HTTPException

from claas_assets import wire
from claas_assets.stack.adapters import UnknownAdapterError
from claas_assets.stack.completions import Completion
from claas_assets.stack.state import State, new_id
from claas_assets.stack.trainer import Rollout, TrainingReport


def router(state: State) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/feedback")
    async def feedback(body: wire.FeedbackRequest) -> wire.FeedbackResponse:
        began = time.perf_counter()
        first = body.requests[0]
        if any(i.lora_id != first.lora_id or i.training != first.training for i in body.requests):
            raise HTTPException(400, "all requests of one call need the same lora_id and training")
        info = state.engine.store.info(first.lora_id)
        found = [_completion(state, item) for item in body.requests]
        pairs = list(zip(body.requests, found, strict=True))
        rollouts = await asyncio.to_thread(lambda: [_rollout(state, *pair) for pair in pairs])
        lock = state.locks[info.lora_id]
        try:
            await asyncio.wait_for(lock.acquire(), state.lock_wait_s)
        except TimeoutError:
            raise HTTPException(409, f"another update of {info.lora_id!r} is running") from None
        try:
            work = state.engine.train(info.lora_id, rollouts, first.training)
            # Shielded: a client that goes away must not free the lock while training goes on.
            report: TrainingReport = await asyncio.shield(asyncio.wrap_future(work))
        except UnknownAdapterError:
            raise
        except Exception as error:
            raise HTTPException(500, f"training failed: {type(error).__name__}: {error}") from error
        finally:
            lock.release()
        return _feedback_response(state, info.lora_id, rollouts, report, began)

    return routes


def _completion(state: State, item: wire.FeedbackItem) -> Completion:
    """What was sampled for a feedback item's answer."""
    found = state.completions.get(item.response)
    if found is None:
        raise HTTPException(
            404,
            "no cached completion for this response: feedback must follow its chat completion within "
            f"an hour and 100 completions. Response: {item.response[:80]!r}",
        )
    if not found.has_system_message:
        raise HTTPException(422, "the chat request of this response had no system message")
    return found


def _rollout(state: State, item: wire.FeedbackItem, found: Completion) -> Rollout:
    """A recorded completion with its teacher's prompt."""
    text, context, repetitions = state.engine.text, state.engine.context, item.training.feedback_repetitions
    too_long = HTTPException(400, f"prompt, feedback and response exceed the maximum context length {context}")
    if len(item.feedback) * repetitions > context * text.longest_token:
        raise too_long
    teacher = text.prompt(with_hindsight(found.messages, " ".join([item.feedback] * repetitions)))
    if len(teacher) + len(found.token_ids) > context:
        raise too_long
    return Rollout(found.prompt_ids, teacher, found.token_ids, found.logprobs)


def with_hindsight(messages: list[dict[str, str]], feedback: str) -> list[dict[str, str]]:
    """The messages with the feedback after the prompt, in the last user turn."""
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=len(messages) - 1)
    changed = {**messages[last], "content": f"{messages[last]['content']}\n\nFeedback: {feedback}"}
    return [*messages[:last], changed, *messages[last + 1 :]]


def _feedback_response(
    state: State, lora_id: str, rollouts: list[Rollout], report: TrainingReport, began: float
) -> wire.FeedbackResponse:
    means = {name: sum(step[name] for step in report.steps) / len(report.steps) for name in report.steps[0]}
    metadata: dict[str, Any] = {
        **means,  # over the updates of this call
        "tokens_processed": report.tokens,
        "batch_size": len(rollouts),
        "steps_per_batch_applied": len(report.steps),
        "per_step_metrics": report.steps,
        "updates": report.updates,
        "teacher_scored_texts": [state.engine.text.decode(r.teacher_prompt_ids + r.token_ids) for r in rollouts],
    }
    timing = {
        "teacher": report.teacher_ms,
        "update": report.update_ms,
        "total": 1e3 * (time.perf_counter() - began),
    }
    return wire.FeedbackResponse(
        status="ok",
        request_id=new_id("feedback"),
        lora_id=lora_id,
        distill_result=wire.DistillResult(lora_id=lora_id, metadata=metadata),
        timing_ms=timing,
        batch_size=len(rollouts),
    )

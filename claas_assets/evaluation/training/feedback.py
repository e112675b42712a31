"""The feedback on one step's rollouts: sent once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from claas_assets.evaluation.deployment.client import feedback_items, updates_applied
from claas_assets.evaluation.deployment.locks import feedback_lock
from claas_assets.evaluation.errors import DeploymentError, DeploymentUnreachable, OutcomeUnknown, RequestRefused
from claas_assets.evaluation.storage.journal import FeedbackIntent, Journal
from claas_assets.evaluation.training.rollouts import roll_out
from claas_assets.evaluation.training.session import Session
from claas_assets.wire import FeedbackResponse


@dataclass(frozen=True)
class FeedbackOutcome:
    """`updates`: gradient updates known to be made. `answers`: metadata of the answered calls."""

    intent: FeedbackIntent
    interrupted: bool = False

    @property
    def updates(self) -> int:
        return _updates_made(self.intent)

    @property
    def answers(self) -> list[dict[str, Any]]:
        return self.intent.answers


@dataclass
class _Giving:
    """One step's feedback while it is given. `intent` is what is on disk."""

    session: Session
    lora_id: str
    journal: Journal
    intent: FeedbackIntent = field(repr=False)

    def keep(self, **changes: Any) -> None:
        self.intent = self.intent.model_copy(update=changes)
        self.journal.write_intent(self.intent)


async def give_feedback(session: Session, lora_id: str, intent: FeedbackIntent, journal: Journal) -> FeedbackOutcome:
    """Send the batch until `steps_per_batch` updates are made, each call's intent on disk before it.

    A deployment of the newer generation makes them all in one call, an older one makes one a call.
    Where a call's effect is unknown, the adapter's update counter decides; without one the step is
    marked interrupted and the call is not sent again.
    """
    giving = _Giving(session, lora_id, journal, intent)
    wanted = session.config.training.steps_per_batch
    routes = session.client.routes
    async with feedback_lock(routes.claas_url) if routes.serialize_feedback else contextlib.nullcontext():
        # An earlier process ended between sending and the answer.
        if intent.calls_begun > len(intent.answers) and await _resolve(giving) is None:
            return FeedbackOutcome(giving.intent, interrupted=True)
        while _updates_made(giving.intent) < wanted:
            try:
                await _send(giving, wanted - _updates_made(giving.intent))
            except OutcomeUnknown as error:
                session.say("note", f"feedback of step {intent.step}: effect unknown: {error}", step=intent.step)
                applied = await _resolve(giving)
                if applied is None:
                    return FeedbackOutcome(giving.intent, interrupted=True)
                if applied == 0:
                    raise  # not trained so far: resuming looks at the counter again before it sends anything
            except DeploymentUnreachable as error:  # no connection was made, so nothing was trained
                giving.keep(calls_begun=len(giving.intent.answers))
                await session.client.wait_until_back(error)
            except RequestRefused as error:
                if error.status == 404 and not giving.intent.replaced:
                    await _generate_again(giving)
                    continue
                _forget_call(giving)
                raise
    return FeedbackOutcome(giving.intent)


async def _send(giving: _Giving, updates: int) -> None:
    """One call for `updates` updates; its answer is kept. Raises as `ClaasClient.feedback`."""
    session, intent = giving.session, giving.intent
    items = feedback_items(
        [(rollout.prompt, rollout.response) for rollout in intent.batch],
        lora_id=giving.lora_id,
        feedback=session.preference.feedback_string,
        training=session.config.training.model_copy(update={"steps_per_batch": updates}),
        takes_repetitions=_takes_repetitions(intent),
    )
    giving.keep(calls_begun=intent.calls_begun + 1)
    response = await session.client.feedback(items)
    metadata = dict(response.distill_result.metadata) if response.distill_result else {}
    metadata["updates"] = await _updates_of(giving, response)
    if metadata["updates"] == 0:
        raise DeploymentError(
            f"step {intent.step}: the deployment took the feedback and made no update: look at its log; run again "
            "to resume"
        )
    giving.keep(answers=[*intent.answers, metadata])


async def _updates_of(giving: _Giving, response: FeedbackResponse) -> int:
    """What the answer says; where it says nothing, what the adapter's counter shows, else 1 (the older generation)."""
    before = giving.intent.updates_before
    told = response.distill_result is not None and "steps_per_batch_applied" in response.distill_result.metadata
    if not told and before is not None:
        status = await giving.session.client.adapter_status(giving.lora_id)
        if status is not None:
            return status.updates - before - _updates_made(giving.intent)
    return updates_applied(response)


def _forget_call(giving: _Giving) -> None:
    """Of a call that is proven not to have trained. What earlier calls of the step did stays on record."""
    if giving.intent.answers:
        giving.keep(calls_begun=len(giving.intent.answers))
    else:
        giving.journal.clear_intent()  # resuming starts this step afresh


async def _generate_again(giving: _Giving) -> None:
    """After a 404: the deployment has forgotten the rollouts (or the adapter, which is an error). Once a step."""
    session, step = giving.session, giving.intent.step
    await session.client.check_adapter(giving.lora_id)
    session.say("note", f"step {step}: the deployment forgot the rollouts; generating them again", step=step)
    replaced = giving.intent.batch
    batch = await roll_out(session, giving.lora_id, step)
    giving.keep(batch=batch, replaced=replaced, calls_begun=len(giving.intent.answers))


async def _resolve(giving: _Giving) -> int | None:
    """The updates that the unanswered call made, by the adapter's counter; None where there is none."""
    intent = giving.intent
    known = _updates_made(intent)
    counted = await _settled_count(giving, intent.updates_before, known)
    if counted is None or intent.updates_before is None:
        return None
    applied = counted - intent.updates_before - known
    if applied < 0:
        raise DeploymentError(
            f"the adapter {giving.lora_id} has {counted} updates and had {intent.updates_before + known}: it was "
            "replaced or restored from an earlier state, so this run cannot go on: begin a new one with another "
            "output_dir"
        )
    if applied == 0:
        giving.keep(calls_begun=len(intent.answers))
    else:
        giving.keep(answers=[*intent.answers, {"updates": applied, "resolved_by": "adapter update counter"}])
    return applied


_FIRST_FEEDBACK_S = 20.0  # what a first update may take: none was timed yet
_LEAST_S = 5.0


async def _settled_count(giving: _Giving, before: int | None, known: int) -> int | None:
    """The adapter's counter. While it has not moved, the call may still be at work: it is given the time of three."""
    session = giving.session
    expected_s = max(_LEAST_S, 3 * (giving.intent.expected_s or _FIRST_FEEDBACK_S))
    patience_s = min(session.config.deployment_timeout_s, expected_s)
    began = time.monotonic()
    while True:
        status = await session.client.adapter_status(giving.lora_id)
        if status is None or before is None:
            return None
        if status.updates != before + known or time.monotonic() - began >= patience_s:
            return status.updates
        await asyncio.sleep(min(0.5, patience_s))


def _updates_made(intent: FeedbackIntent) -> int:
    return sum(answer["updates"] for answer in intent.answers)


def _takes_repetitions(intent: FeedbackIntent) -> bool | None:
    """Whether this deployment knows `feedback_repetitions`: None before its first answer of the step."""
    told = [answer for answer in intent.answers if "resolved_by" not in answer]
    return "steps_per_batch_applied" in told[-1] if told else None

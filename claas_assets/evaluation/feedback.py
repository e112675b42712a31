"""One step's rollouts and the feedback on them: sent once, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from claas_assets.evaluation.client import feedback_items, updates_applied
from claas_assets.evaluation.concurrency import gather
from claas_assets.evaluation.errors import DeploymentError, OutcomeUnknown
from claas_assets.evaluation.journal import FeedbackIntent, Journal
from claas_assets.evaluation.preferences import Preference
from claas_assets.evaluation.probes import derived_seed
from claas_assets.evaluation.records import RolloutRecord

if TYPE_CHECKING:
    from claas_assets.evaluation.loop import Session


@dataclass(frozen=True)
class FeedbackOutcome:
    """`updates`: gradient updates known to be made. `answers`: metadata of the answered calls."""

    updates: int
    answers: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False


def prompts_of_step(preference: Preference, batch_size: int, step: int) -> list[str]:
    """Batch entry i of step s uses prompt (s·batch_size + i) mod n."""
    prompts = preference.probe_prompts
    return [prompts[(step * batch_size + i) % len(prompts)] for i in range(batch_size)]


async def roll_out(session: Session, lora_id: str, step: int) -> list[RolloutRecord]:
    """Sample the batch. Raises where an answer is missing or empty: there is nothing to train on then."""
    config = session.config
    prompts = prompts_of_step(session.preference, config.batch_size, step)

    async def one(index: int, prompt: str) -> RolloutRecord:
        seed = derived_seed(config.seed, step, "rollout", index)
        answer = await session.client.chat(
            (("user", prompt),),
            lora_id=lora_id,
            temperature=config.rollout_temperature,
            max_tokens=config.rollout_max_tokens,
            seed=seed,
            logprobs=True,  # feedback on a completion without recorded logprobs is refused
        )
        if not answer.text.strip():
            raise DeploymentError(
                f"step {step}: the model answered nothing to {prompt!r}; feedback on an empty answer is refused "
                "by every deployment. The model may have collapsed: see the earlier steps, and run again to resume"
            )
        return RolloutRecord(
            prompt=prompt,
            response=answer.text,
            metadata={
                "seed": seed,
                "temperature": config.rollout_temperature,
                "max_tokens": answer.max_tokens,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "finish_reason": answer.finish_reason,
                "truncated": answer.truncated,
            },
        )

    return await gather([one(i, prompt) for i, prompt in enumerate(prompts)])


async def give_feedback(session: Session, lora_id: str, intent: FeedbackIntent, journal: Journal) -> FeedbackOutcome:
    """Send the batch until `steps_per_batch` updates are made, each call's intent on disk before it.

    A deployment of the newer generation makes them all in one call, an older one makes one a call.
    Where a call's effect is unknown, the adapter's update counter decides; without one the step is
    marked interrupted and the call is not sent again.
    """
    wanted = session.config.training.steps_per_batch
    if intent.calls_begun > len(intent.answers):  # an earlier process ended between sending and the answer
        applied = await _applied_in_doubt(session, lora_id, intent)
        if applied is None:
            return _interrupted(intent)
        intent = _resolved(intent, applied)
        journal.write_intent(intent)
    while _updates_made(intent) < wanted:
        items = feedback_items(
            [(rollout.prompt, rollout.response) for rollout in intent.batch],
            lora_id=lora_id,
            feedback=session.preference.feedback_string,
            training=session.config.training.model_copy(update={"steps_per_batch": wanted - _updates_made(intent)}),
            takes_repetitions=_takes_repetitions(intent),
        )
        intent = intent.model_copy(update={"calls_begun": intent.calls_begun + 1})
        journal.write_intent(intent)
        try:
            response = await session.client.feedback(items)
        except OutcomeUnknown as error:
            session.say("note", f"feedback of step {intent.step}: effect unknown: {error}", step=intent.step)
            applied = await _applied_in_doubt(session, lora_id, intent)
            if applied is None:
                return _interrupted(intent)
            if applied == 0:
                raise  # not trained so far: resuming looks at the counter again before it sends anything
            intent = _resolved(intent, applied)
            journal.write_intent(intent)
            continue
        except DeploymentError:
            journal.clear_intent()  # proven not trained: resuming starts this step afresh
            raise
        metadata = dict(response.distill_result.metadata) if response.distill_result else {}
        metadata["updates"] = updates_applied(response)
        if metadata["updates"] == 0:
            raise DeploymentError(
                f"step {intent.step}: the deployment took the feedback and says that it made no update "
                "(steps_per_batch_applied is 0): look at its log; run again to resume"
            )
        intent = intent.model_copy(update={"answers": [*intent.answers, metadata]})
        journal.write_intent(intent)
    return FeedbackOutcome(updates=_updates_made(intent), answers=intent.answers)


def _updates_made(intent: FeedbackIntent) -> int:
    return sum(answer["updates"] for answer in intent.answers)


def _takes_repetitions(intent: FeedbackIntent) -> bool | None:
    """Whether this deployment knows `feedback_repetitions`: None before its first answer of the step."""
    return None if not intent.answers else "steps_per_batch_applied" in intent.answers[-1]


async def _applied_in_doubt(session: Session, lora_id: str, intent: FeedbackIntent) -> int | None:
    """Updates that the unanswered call made, by the adapter's counter; None where there is none."""
    status = await session.client.adapter_status(lora_id)
    if status is None or intent.updates_before is None:
        return None
    return status.updates - intent.updates_before - _updates_made(intent)


def _resolved(intent: FeedbackIntent, applied: int) -> FeedbackIntent:
    """The intent after the counter told what the unanswered call did."""
    if applied == 0:
        return intent.model_copy(update={"calls_begun": len(intent.answers)})
    found = {"updates": applied, "resolved_by": "adapter update counter"}
    return intent.model_copy(update={"answers": [*intent.answers, found]})


def _interrupted(intent: FeedbackIntent) -> FeedbackOutcome:
    return FeedbackOutcome(updates=_updates_made(intent), answers=intent.answers, interrupted=True)

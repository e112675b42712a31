"""The feedback on one step's rollouts: sent once, whatever happens."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from claas_assets.evaluation.deployment.feedback_protocol import feedback_items, updates_applied
from claas_assets.evaluation.deployment.locks import feedback_lock
from claas_assets.evaluation.errors import (
    AdapterLost,
    DeploymentError,
    DeploymentUnreachable,
    MalformedAnswer,
    NotTrained,
    OutcomeUnknown,
    RequestRefused,
)
from claas_assets.evaluation.foreign_json import storable
from claas_assets.evaluation.storage.journal import FeedbackIntent, Journal
from claas_assets.evaluation.training.checkpoints import Checkpoint, served_checkpoint
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.review import reviewed, to_correct
from claas_assets.evaluation.training.rollouts import feedback_of_step, roll_out
from claas_assets.wire import FeedbackResponse

_FIRST_FEEDBACK_S = 20.0  # what a first update may take: none was timed yet
_LEAST_S = 5.0
GENERATED_AGAIN = 3
"""How often at most for a step. A deployment remembers its 100 latest answers, and other evaluations on it, whose
probes come hundreds at a time, push a batch out before its feedback arrives: now and then twice in a row."""


@dataclass(frozen=True)
class FeedbackOutcome:
    """How the feedback of one step ended."""

    intent: FeedbackIntent
    """What was sent and answered."""
    interrupted: bool
    """A call was sent whose effect nothing can tell, and it was not sent again."""


async def resolve_unanswered(
    context: TrainingContext, lora_id: str, intent: FeedbackIntent | None, journal: Journal
) -> FeedbackIntent | None:
    """The intent of an earlier process, with what its unanswered call did where the deployment can tell."""
    if intent is None or intent.calls_begun <= len(intent.answers):
        return intent
    step = _StepFeedback(context, lora_id, journal, intent)
    await step.resolve()
    return step.intent


async def give_feedback(
    context: TrainingContext, lora_id: str, intent: FeedbackIntent, journal: Journal
) -> FeedbackOutcome:
    """Send the batch until `steps_per_batch` updates are made, each call's intent on disk before it.

    A deployment of the newer generation makes them all in one call, an older one makes one a call. A batch without
    an answer to correct sends nothing. Where a call's effect is unknown, the adapter's update counter decides;
    without one the step is marked interrupted and the call is not sent again.
    """
    step = _StepFeedback(context, lora_id, journal, intent)
    routes = context.client.routes
    async with feedback_lock(routes.claas_url) if routes.engine.serialize_feedback else contextlib.nullcontext():
        known = await step.give()
    return FeedbackOutcome(step.intent, interrupted=not known)


@dataclass
class _StepFeedback:
    """One step's feedback while it is given."""

    context: TrainingContext
    lora_id: str
    journal: Journal
    intent: FeedbackIntent = field(repr=False)
    """As it is on disk."""

    async def give(self) -> bool:
        """Returns whether the effect of every call is known."""
        wanted = self.context.config.training.steps_per_batch
        # An earlier process ended between sending and the answer.
        if self.intent.calls_begun > len(self.intent.answers) and await self.resolve() is None:
            return False
        while self.intent.updates < wanted and to_correct(self.intent.batch):
            try:
                await self._send(wanted - self.intent.updates)
            except OutcomeUnknown as error:
                self._note(f"feedback of step {self.intent.step}: effect unknown: {error}")
                applied = await self.resolve()
                if applied is None:
                    return False
                if applied == 0:
                    raise  # not trained so far: resuming looks at the counter again before it sends anything
            except NotTrained as error:
                if not await self.resolve():  # the counter, where there is one, knows better
                    self._forget_call()
                    raise NotTrained(f"{error}. The step is not recorded: look at the deployment's log") from error
            except DeploymentUnreachable as error:  # no connection was made, so nothing was trained
                self._keep(calls_begun=len(self.intent.answers))
                await self.context.client.wait_until_back(error)
            except RequestRefused as error:
                if error.status == 404 and len(self.intent.replaced) < GENERATED_AGAIN * len(self.intent.batch):
                    await self._generate_again()
                    continue
                self._forget_call()
                raise
        return True

    async def _send(self, updates: int) -> None:
        """One call for `updates` updates; its answer is kept. Raises as `ClaasClient.feedback`."""
        intent, context = self.intent, self.context
        items = feedback_items(
            [(rollout.prompt, rollout.response) for rollout in to_correct(intent.batch)],
            lora_id=self.lora_id,
            feedback=feedback_of_step(context, intent.step),
            training=context.config.training.model_copy(update={"steps_per_batch": updates}),
            takes_repetitions=self._takes_repetitions(),
        )
        self._keep(calls_begun=intent.calls_begun + 1, updates_asked=(intent.updates_asked or 0) + updates)
        response = await context.client.feedback(items)
        made = await self._updates_of(response)
        if made > updates:
            raise MalformedAnswer(
                f"step {intent.step}: the deployment was asked for {updates} gradient updates and says that it made "
                f"{made}. Nothing can be said of an adapter that is trained so: look at the deployment's log"
            )
        if made == 0:
            raise DeploymentError(
                f"step {intent.step}: the deployment took the feedback and made no update: look at its log; run again "
                "to resume"
            )
        said = storable(response.distill_result.metadata) if response.distill_result else {}
        self._keep(answers=[*intent.answers, {**said, "updates": made}])

    async def _updates_of(self, response: FeedbackResponse) -> int:
        """What the answer says; if nothing, what the adapter's counter shows, else 1 (the older generation).

        Raises `OutcomeUnknown` where the answer has no result and nothing counts: it does not say that it trained.
        """
        before, result = self.intent.updates_before, response.distill_result
        told = result is not None and "steps_per_batch_applied" in result.metadata
        if not told and before is not None:
            status = await self.context.client.adapter_status(self.lora_id)
            if status is not None:
                return self._checked_count(status.updates, before)
        if result is None:
            raise OutcomeUnknown("the answer to the feedback has no distill_result: it may have trained")
        return updates_applied(response)

    def _checked_count(self, counted: int, before: int) -> int:
        """The updates that the counter shows beyond the known ones. Raises where they cannot be this step's."""
        intent = self.intent
        applied = counted - before - intent.updates
        if applied < 0:
            raise AdapterLost(
                f"the adapter {self.lora_id} has {counted} updates and had {before + intent.updates}: it was "
                "replaced or restored from an earlier state, so this run cannot go on: begin a new one with another "
                "output_dir"
            )
        check_asked_for(counted - before, intent, self.lora_id)
        return applied

    def _may_be_ours(self, counted: int, before: int) -> bool:
        asked = self.intent.updates_asked
        return before + self.intent.updates <= counted <= before + (counted if asked is None else asked)

    def _takes_repetitions(self) -> bool | None:
        """Whether this deployment knows `feedback_repetitions`: None before its first answer of the step."""
        told = [answer for answer in self.intent.answers if "resolved_by" not in answer]
        return "steps_per_batch_applied" in told[-1] if told else None

    def _forget_call(self) -> None:
        """Of a call that is proven not to have trained. What earlier calls of the step did stays on record."""
        if self.intent.answers:
            self._keep(calls_begun=len(self.intent.answers))
        else:
            self.journal.clear_intent()  # resuming starts this step afresh

    async def _generate_again(self) -> None:
        """After a 404: the deployment forgot the rollouts (or the adapter, which is an error)."""
        step = self.intent.step
        await self.context.client.check_adapter(self.lora_id)
        self._note(f"step {step}: the deployment forgot the rollouts; generating them again")
        replaced = [*self.intent.replaced, *self.intent.batch]
        batch = await roll_out(self.context, self.lora_id, step)
        self._keep(
            batch=await reviewed(self.context.turns[step].preference, batch),
            replaced=replaced,
            calls_begun=len(self.intent.answers),
        )

    async def resolve(self) -> int | None:
        """The updates that the unanswered call made, by the adapter's counter; None where there is none."""
        intent, before = self.intent, self.intent.updates_before
        if before is None:
            return None
        checkpoint = await self._settled_count(before + intent.updates)
        if checkpoint.updates is None:
            return None
        if checkpoint.path is not None and not self._may_be_ours(checkpoint.updates, before):
            return None  # the one sampler serves somebody else's weights
        applied = self._checked_count(checkpoint.updates, before)
        if applied == 0:
            self._keep(calls_begun=len(intent.answers))
        else:
            answer = {"updates": applied, "resolved_by": "adapter update counter"}
            if checkpoint.path is not None:
                answer |= {"step": checkpoint.updates, "sampler_weights_path": checkpoint.path}
            self._keep(answers=[*intent.answers, answer])
        return applied

    async def _counted(self) -> Checkpoint:
        client = self.context.client
        if client.routes.engine.one_sampler:
            return await served_checkpoint(client)
        status = await client.adapter_status(self.lora_id)
        return Checkpoint(updates=None if status is None else status.updates)

    async def _settled_count(self, known: int) -> Checkpoint:
        """The adapter's counter. While it stands at `known`, the call may still be at work: it is given time.

        That time is three times the longest feedback so far.
        """
        expected_s = max(_LEAST_S, 3 * (self.intent.expected_s or _FIRST_FEEDBACK_S))
        patience_s = min(self.context.config.deployment_timeout_s, expected_s)
        began = time.monotonic()
        while True:
            checkpoint = await self._counted()
            if checkpoint.updates is None:
                return checkpoint
            if checkpoint.updates != known or time.monotonic() - began >= patience_s:
                return checkpoint
            await asyncio.sleep(min(0.5, patience_s))

    def _keep(self, **changes: object) -> None:
        self.intent = self.intent.model_copy(update=changes)
        self.journal.write_intent(self.intent)

    def _note(self, message: str) -> None:
        self.context.say("note", message, step=self.intent.step)


def check_asked_for(made: int, intent: FeedbackIntent, lora_id: str) -> None:
    """Raise `AdapterLost` where a counter moved by more updates than this step asked for."""
    if intent.updates_asked is not None and made > intent.updates_asked:
        raise AdapterLost(
            f"step {intent.step} asked for {intent.updates_asked} gradient updates, and the counter of the adapter "
            f"{lora_id} moved by {made}: somebody else trains it too, or the counter counts something else. Begin "
            "again with another output_dir, on an adapter that is this run's alone"
        )

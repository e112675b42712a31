"""The feedback loop, flat: step by step rollouts → feedback → probes, a durable line each."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from claas_assets.evaluation.deployment.feedback_protocol import engine_numbers, strict_metrics
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.errors import AdapterLost, DeploymentError, JudgeError, RunFolderError
from claas_assets.evaluation.storage.journal import FeedbackIntent, Journal
from claas_assets.evaluation.storage.provenance import utc_now
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, RolloutRecord, StepRecord
from claas_assets.evaluation.training.concurrency import gather_two
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.feedback import (
    FeedbackOutcome,
    check_asked_for,
    give_feedback,
    resolve_unanswered,
)
from claas_assets.evaluation.training.keeping import is_kept, keep_adapter
from claas_assets.evaluation.training.review import reviewed, to_correct
from claas_assets.evaluation.training.rollouts import (
    feedback_of_step,
    prompts_of_step,
    records_of,
    roll_out,
    rollout_probes,
    usable,
)
from claas_assets.evaluation.training.sampler import Weights, known_weights, resume_sampler, weights_after
from claas_assets.evaluation.training.snapshot import AdapterState, cost_of, measure
from claas_assets.evaluation.training.stopping import may_stop, stays_stopped, stop_after


async def train(context: TrainingContext, adapter: AdapterRecord, baseline: EvalSnapshot, journal: Journal) -> int:
    """Run the steps that the journal does not hold yet; returns how many were run."""
    if journal.set_aside_torn_line():
        context.say("note", f"{journal.folder}: a torn last line of steps.jsonl was set aside in steps.torn")
    steps = journal.read()
    first, total = len(steps), len(context.turns)
    if steps and is_kept(context.config, steps[-1], total):  # a process ended between the step and its export
        await keep_adapter(context, adapter.lora_id, steps[-1].step, known_weights(context, steps))
    if first >= total or (steps and stays_stopped(context.config, steps[-1].stopped)):
        return 0
    with _saying_where(context, first):
        await context.client.check_adapter(adapter.lora_id)
        await prove_gateway(context.client, adapter.lora_id, allow_unproven=context.config.allow_unproven_gateway)
        intent = journal.intent()
        if context.client.routes.engine.one_sampler:  # a refresh would hide what the sampler tells
            intent = await resolve_unanswered(context, adapter.lora_id, intent, journal)
        await resume_sampler(context, steps, intent)
    carried = Carried(
        counted=await _counter(context, adapter.lora_id, steps[-1] if steps else None),
        feedback_s=max((record.timings.get("feedback", 0.0) for record in steps), default=None),
        weights=known_weights(context, steps),
        earlier=tuple(steps),
    )
    for step in range(first, total):
        with _saying_where(context, step):
            record, carried = await run_step(context, adapter.lora_id, baseline, journal, step, carried)
        if is_kept(context.config, record, total):
            await keep_adapter(context, adapter.lora_id, step, carried.weights)
        cost = f" ({cost_of(record.eval)})" if record.eval.snapshot == "full" else ""
        numbers = record.eval.headline()
        context.say("step", f"step {step + 1} of {total} done{cost}", step=step, num_steps=total, numbers=numbers)
        if record.stopped is not None:
            context.say("note", f"stopped after step {step + 1} of {total}: {record.stopped.reason}", step=step)
            return step + 1 - first
    return total - first


@contextlib.contextmanager
def _saying_where(context: TrainingContext, step: int) -> Iterator[None]:
    """An error of a step names it, and how to go on."""
    try:
        yield
    except (DeploymentError, JudgeError, RunFolderError) as error:
        where = f"step {step + 1} of {len(context.turns)}"
        goes_on = "" if isinstance(error, AdapterLost) else "; the same output_dir again goes on"
        error.args = (f"{where}: {error}. {step} steps are recorded{goes_on}",)
        raise


@dataclass(frozen=True)
class Carried:
    """What one step hands to the next."""

    counted: int | None
    """The deployment's count of the adapter's updates, where it has one."""
    feedback_s: float | None = None
    """Seconds of the longest feedback so far."""
    batch: list[RolloutRecord] | None = None
    """Rollouts that were generated beside the probes."""
    weights: Weights = None
    """Whose weights answer, until a step trains."""
    earlier: tuple[StepRecord, ...] = ()
    """The steps before, where the configuration may end the run by what was seen."""


async def run_step(
    context: TrainingContext, lora_id: str, baseline: EvalSnapshot, journal: Journal, step: int, carried: Carried
) -> tuple[StepRecord, Carried]:
    """One step, its line on disk as it returns.

    An intent that an earlier, interrupted process left is gone on with, never repeated. The rollouts of the
    next step are generated beside this one's probes, which come from the same state of the adapter; they are
    sent last, because the deployment remembers only its latest completions; where a judge is asked after them,
    which may be a model of that deployment, they are generated as the next step begins.
    """
    config, turn, total, began = context.config, context.turns[step], len(context.turns), time.monotonic()
    intent = await _intent(context, lora_id, journal, step, carried)
    corrected = to_correct(intent.batch)
    doing = f"training on the feedback ({len(corrected)} of {len(intent.batch)} answers)"
    context.say("feedback", doing if corrected else NOTHING_TO_CORRECT, step=step, num_steps=total)
    sent = time.monotonic()
    outcome = await give_feedback(context, lora_id, intent, journal)
    feedback_s = round(time.monotonic() - sent, 3)
    intent, answers = outcome.intent, outcome.intent.answers
    weights = weights_after(context, outcome) if answers or outcome.interrupted else carried.weights
    state = AdapterState(
        step=step,
        preference=turn.preference,
        size="full" if turn.ends_phase or step in config.snapshot_steps else "light",
        baseline=baseline,
        ahead=() if step == total - 1 or context.sequence.asks_a_judge else rollout_probes(context, step + 1),
        weights=weights,
    )
    (snapshot, ahead), counted = await gather_two(measure(context, lora_id, state), _asked_counter(context, lora_id))
    stopped = (
        None if step == total - 1 else stop_after(config, baseline, carried.earlier, snapshot, time.monotonic() - began)
    )
    if stopped is not None:
        snapshot = await _in_full(context, lora_id, state, snapshot)
    timings = {"rollouts": intent.rollouts_s, "feedback": feedback_s, "probes": snapshot.duration_s}
    record = StepRecord(
        preference=turn.preference.name,
        step=step,
        phase=turn.phase,
        timestamp=utc_now(),
        feedback_given=feedback_of_step(context, step),
        sdpo_metrics=strict_metrics(answers[-1]) if answers else None,
        engine=engine_numbers(answers[-1]) if answers else None,
        eval=snapshot,
        prompt_used=prompts_of_step(turn, config.batch_size)[0],
        response_text=intent.batch[0].response,
        timing_s=round(time.monotonic() - began, 3),
        sub_step_count=_updates_made(lora_id, outcome, counted),
        rollout_batch=intent.batch,
        feedback_calls=answers,
        timings={name: seconds for name, seconds in timings.items() if seconds is not None},
        interrupted=outcome.interrupted,
        replaced_rollouts=intent.replaced,
        updates_counted=counted if counted is not None else _count_in_answer(outcome, carried.counted),
        corrections=len(to_correct(intent.batch)),
        stopped=stopped,
    )
    journal.append(record)
    return record, Carried(
        counted=record.updates_counted,
        feedback_s=max(feedback_s, carried.feedback_s or 0.0),
        batch=records_of(ahead) if usable(ahead) else None,
        weights=weights,
        earlier=(*carried.earlier, record) if may_stop(config) else (),
    )


async def _in_full(context: TrainingContext, lora_id: str, state: AdapterState, light: EvalSnapshot) -> EvalSnapshot:
    """The last state of a run that ends early, measured as a last state is; with what the light snapshot cost."""
    if light.snapshot == "full":
        return light
    full, _ = await measure(context, lora_id, replace(state, size="full", ahead=()))
    seconds = [taken for taken in (light.duration_s, full.duration_s) if taken is not None]
    return full.model_copy(update={"requests": light.requests + full.requests, "duration_s": sum(seconds)})


NOTHING_TO_CORRECT = "every answer of the batch obeys: nothing is sent, and nothing is trained"


async def _intent(
    context: TrainingContext, lora_id: str, journal: Journal, step: int, carried: Carried
) -> FeedbackIntent:
    """What this step trains on: what an earlier process had begun, else the rollouts at hand, else new ones."""
    begun = journal.intent()
    if begun is not None and begun.step == step:
        return begun
    batch, rollouts_s = carried.batch, None
    if batch is None:
        context.say("rollouts", "generating the batch", step=step, num_steps=len(context.turns))
        began = time.monotonic()
        batch = await roll_out(context, lora_id, step)
        rollouts_s = round(time.monotonic() - began, 3)
    return FeedbackIntent(
        step=step,
        batch=await reviewed(context.turns[step].preference, batch),
        updates_before=carried.counted,
        updates_asked=0,
        rollouts_s=rollouts_s,
        expected_s=carried.feedback_s,
    )


async def _counter(context: TrainingContext, lora_id: str, last: StepRecord | None) -> int | None:
    """The deployment's count of the adapter's updates, after the `last` step that is recorded."""
    if context.client.routes.engine.one_sampler:
        return 0 if last is None else last.updates_counted
    return await _asked_counter(context, lora_id)


async def _asked_counter(context: TrainingContext, lora_id: str) -> int | None:
    """The deployment's count of the adapter's updates, where it can be asked for."""
    status = await context.client.adapter_status(lora_id)
    return None if status is None else status.updates


def _updates_made(lora_id: str, outcome: FeedbackOutcome, counted: int | None) -> int:
    """Gradient updates of the step.

    `counted` is the deployment's count after it. Where there is one, it decides: a call that was given up may
    have trained after all. Raises `AdapterLost` where the count lacks updates that were answered.
    """
    before, answered = outcome.intent.updates_before, outcome.intent.updates
    if counted is None or before is None:
        return answered
    made = counted - before
    if made < answered:
        raise AdapterLost(
            f"the deployment made {answered} updates and counts {made}: the adapter was restored from an "
            "earlier state meanwhile, so this run cannot go on: begin a new one with another output_dir"
        )
    check_asked_for(made, outcome.intent, lora_id)
    return made


def _count_in_answer(outcome: FeedbackOutcome, before: int | None) -> int | None:
    """Tinker cannot be asked for its count, but each of its answers has it. Where nothing was sent, `before`."""
    if outcome.interrupted:
        return None
    if not outcome.intent.answers:
        return before
    count = outcome.intent.answers[-1].get("step")
    return count if isinstance(count, int) else None

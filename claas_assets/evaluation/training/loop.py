"""The feedback loop, flat: step by step rollouts → feedback → probes, a durable line each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.deployment.client import engine_metrics
from claas_assets.evaluation.errors import DeploymentError, RunFolderError
from claas_assets.evaluation.storage.journal import FeedbackIntent, Journal
from claas_assets.evaluation.storage.provenance import utc_now
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, RolloutRecord, StepRecord
from claas_assets.evaluation.training.concurrency import gather_two
from claas_assets.evaluation.training.feedback import FeedbackOutcome, give_feedback
from claas_assets.evaluation.training.rollouts import prompts_of_step, records_of, roll_out, rollout_probes, usable
from claas_assets.evaluation.training.sampler import of_one_sampler, resume_sampler
from claas_assets.evaluation.training.session import Session
from claas_assets.evaluation.training.snapshot import State, cost_of, headline, measure


async def train(session: Session, adapter: AdapterRecord, baseline: EvalSnapshot, journal: Journal) -> int:
    """Run the steps that the journal does not hold yet; returns how many were run."""
    if journal.set_aside_torn_line():
        session.say("note", f"{journal.path}: a torn last line was set aside in steps.torn")
    steps = journal.read()
    first, total = len(steps), session.config.num_steps
    if first >= total:
        return 0
    with _saying_where(session, first):
        await session.client.check_adapter(adapter.lora_id)
        await resume_sampler(session, steps, journal.intent())
    progress = Progress(
        counted=await _counter(session, adapter.lora_id),
        feedback_s=max((record.timings.get("feedback", 0.0) for record in steps), default=None),
    )
    for step in range(first, total):
        with _saying_where(session, step):
            record, progress = await run_step(session, adapter.lora_id, baseline, journal, step, progress)
        cost = f" ({cost_of(record.eval)})" if record.eval.snapshot == "full" else ""
        numbers = headline(record.eval)
        session.say("step", f"step {step + 1} of {total} done{cost}", step=step, num_steps=total, numbers=numbers)
    return total - first


@contextlib.contextmanager
def _saying_where(session: Session, step: int) -> Iterator[None]:
    """An error of a step names it, and how to go on."""
    try:
        yield
    except (DeploymentError, RunFolderError) as error:
        where = f"step {step + 1} of {session.config.num_steps}"
        error.args = (f"{where}: {error}. {step} steps are recorded; the same output_dir again goes on",)
        raise


@dataclass(frozen=True)
class Progress:
    """What one step hands to the next.

    `counted`: the deployment's count of the adapter's updates, where it has one. `feedback_s`: the longest
    feedback so far. `batch`: rollouts that were generated beside the probes.
    """

    counted: int | None
    feedback_s: float | None = None
    batch: list[RolloutRecord] | None = None


async def run_step(
    session: Session, lora_id: str, baseline: EvalSnapshot, journal: Journal, step: int, progress: Progress
) -> tuple[StepRecord, Progress]:
    """One step, its line on disk as it returns.

    An intent that an earlier, interrupted process left is gone on with, never repeated. The rollouts of the
    next step are generated beside this one's probes, which come from the same state of the adapter; they are
    sent last, because the deployment remembers only its latest completions.
    """
    config, began = session.config, time.monotonic()
    intent = await _intent(session, lora_id, journal, step, progress)
    session.say("feedback", "training on the feedback", step=step, num_steps=config.num_steps)
    trained = time.monotonic()
    outcome = await give_feedback(session, lora_id, intent, journal)
    feedback_s = round(time.monotonic() - trained, 3)
    last = step == config.num_steps - 1
    state = State(
        step=step,
        size="full" if last or step in config.snapshot_steps else "light",
        baseline=baseline,
        ahead=() if last else rollout_probes(config, session.preference, step + 1),
        **of_one_sampler(session, outcome),
    )
    (snapshot, ahead), counted = await gather_two(measure(session, lora_id, state), _counter(session, lora_id))
    record = StepRecord(
        **_about(session, outcome),
        **_updates(outcome, counted),
        eval=snapshot,
        timing_s=round(time.monotonic() - began, 3),
        timings=_timings(outcome.intent.rollouts_s, feedback_s, snapshot),
    )
    journal.append(record)
    slowest = max(feedback_s, progress.feedback_s or 0.0)
    return record, Progress(counted, slowest, records_of(ahead) if usable(ahead) else None)


async def _intent(session: Session, lora_id: str, journal: Journal, step: int, progress: Progress) -> FeedbackIntent:
    """What this step trains on: what an earlier process had begun, else the rollouts at hand, else new ones."""
    found = journal.intent()
    if found is not None and found.step == step:
        return found
    batch, rollouts_s = progress.batch, None
    if batch is None:
        session.say("rollouts", "generating the batch", step=step, num_steps=session.config.num_steps)
        began = time.monotonic()
        batch = await roll_out(session, lora_id, step)
        rollouts_s = round(time.monotonic() - began, 3)
    return FeedbackIntent(
        step=step,
        batch=batch,
        updates_before=progress.counted,
        rollouts_s=rollouts_s,
        expected_s=progress.feedback_s,
    )


def _about(session: Session, outcome: FeedbackOutcome) -> dict[str, Any]:
    """What was said, answered and trained, as fields of the step's record."""
    intent, preference = outcome.intent, session.preference
    return {
        "preference": preference.name,
        "step": intent.step,
        "timestamp": utc_now(),
        "feedback_given": preference.feedback_string,
        "sdpo_metrics": engine_metrics(outcome.answers[-1]) if outcome.answers else None,
        "prompt_used": prompts_of_step(preference, session.config.batch_size, intent.step)[0],
        "response_text": intent.batch[0].response,
        "rollout_batch": list(intent.batch),
        "feedback_calls": list(outcome.answers),
        "interrupted": outcome.interrupted,
        "replaced_rollouts": list(intent.replaced),
    }


def _timings(rollouts_s: float | None, feedback_s: float, snapshot: EvalSnapshot) -> dict[str, float]:
    timed = {"rollouts": rollouts_s, "feedback": feedback_s, "probes": snapshot.duration_s}
    return {name: seconds for name, seconds in timed.items() if seconds is not None}


async def _counter(session: Session, lora_id: str) -> int | None:
    """The deployment's count of the adapter's updates, where it can be asked for."""
    status = await session.client.adapter_status(lora_id)
    return None if status is None else status.updates


def _updates(outcome: FeedbackOutcome, counted: int | None) -> dict[str, Any]:
    """Updates of the step, and the deployment's count after it.

    Where the deployment can be asked, its count decides: a call that was given up may have trained after
    all. Tinker cannot be asked, but each of its answers has the count so far: `step`. Raises
    `DeploymentError` where the count lacks updates that were answered.
    """
    before = outcome.intent.updates_before
    if counted is not None:
        made = counted - before if before is not None else outcome.updates
        if made < outcome.updates:
            raise DeploymentError(
                f"the deployment made {outcome.updates} updates and counts {made}: the adapter was restored from an "
                "earlier state meanwhile, so this run cannot go on: begin a new one with another output_dir"
            )
        return {"sub_step_count": made, "updates_counted": counted}
    last = outcome.answers[-1].get("step") if outcome.answers and not outcome.interrupted else None
    return {"sub_step_count": outcome.updates, "updates_counted": last if isinstance(last, int) else None}

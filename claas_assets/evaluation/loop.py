"""The feedback loop, flat: an adapter, its baseline, then step by step rollouts → feedback → probes.

Everything is measured through the deployment's address; scoring is done by pure functions on the
transcripts, inline so that each step's line is complete, and again by the metric assets at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.asking import Asker
from claas_assets.evaluation.client import ClaasClient, engine_metrics
from claas_assets.evaluation.concurrency import gather_two
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import DeploymentError, RequestRefused, RunFolderError
from claas_assets.evaluation.feedback import FeedbackOutcome, give_feedback
from claas_assets.evaluation.journal import FeedbackIntent, Journal
from claas_assets.evaluation.names import lora_id_for
from claas_assets.evaluation.preferences import Preference
from claas_assets.evaluation.prescoring import Prescoring
from claas_assets.evaluation.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.progress import Event, Reporter
from claas_assets.evaluation.provenance import provenance, utc_now
from claas_assets.evaluation.records import (
    AdapterRecord,
    EvalSnapshot,
    RolloutRecord,
    SnapshotSize,
    StepRecord,
    Transcript,
    Unmeasured,
)
from claas_assets.evaluation.rollouts import prompts_of_step, records_of, roll_out, rollout_probes, usable
from claas_assets.evaluation.scoring import gather_probes, score_snapshot

BASELINE_STEP = -1


@dataclass(frozen=True)
class Session:
    """One preference evaluated on one deployment."""

    client: ClaasClient
    config: EvalConfig
    preference: Preference
    report: Reporter

    def say(self, stage: Any, message: str, **details: Any) -> None:
        self.report(Event(preference=self.preference.name, stage=stage, message=message, **details))


# --- adapter --------------------------------------------------------------------------------


async def create_adapter(session: Session, run_id: str) -> AdapterRecord:
    """A fresh adapter on the deployment, under the id that the deployment answered."""
    config = session.config
    wanted = lora_id_for(config.lora_id_prefix, session.preference.name, run_id)
    session.say("adapter", f"making adapter {wanted} on {config.base_model}")
    deployment = await session.client.describe()
    lora_id = await session.client.init_adapter(wanted, config.base_model, config.lora)
    return AdapterRecord(
        config=config.model_dump(mode="json"),
        lora_id=lora_id,
        preference=session.preference.name,
        run_id=run_id,
        above_training=config.above_training(),
        preference_text=session.preference.model_dump(mode="json"),
        provenance=provenance(deployment.as_record()),
    )


def check_frozen(adapter: AdapterRecord, config: EvalConfig, preference: Preference) -> None:
    """Refuse to go on with another model, training, batch, seed or preference text than it began with."""
    then = {**adapter.above_training, **_trained_text(adapter.preference_text)}
    now = {**config.above_training(), **_trained_text(preference.model_dump(mode="json"))}
    changed = [f"{key}: {then.get(key)!r} then, {now[key]!r} now" for key in now if then.get(key) != now[key]]
    if changed:
        raise RunFolderError(
            f"run {adapter.run_id}, preference {adapter.preference}: what training depends on has changed since the "
            "adapter was made: " + "; ".join(changed) + ". Use another output_dir for a new evaluation"
        )


def _trained_text(preference_text: dict[str, Any]) -> dict[str, Any]:
    """The parts of a preference that training sees; verifiers and held-out prompts may change."""
    return {key: preference_text.get(key) for key in ("feedback_string", "probe_prompts")}


# --- measuring --------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What is measured: the adapter after `step` (-1: untouched). `ahead`: probes sent after all of the metrics'."""

    step: int
    size: SnapshotSize
    baseline: EvalSnapshot | None
    ahead: Sequence[Probe] = ()
    blocked: Unmeasured | None = None


async def measure(session: Session, lora_id: str, state: State) -> tuple[EvalSnapshot, list[Transcript]]:
    """Ask all probes of all metrics of this state at once, and score them; the answers to `ahead` beside it."""
    config, began = session.config, time.monotonic()
    probes = gather_probes(config.metrics, _plan(session, state))
    shown_step = None if state.step == BASELINE_STEP else state.step

    def tick(done: int, total: int) -> None:
        session.say("probes", f"{state.size} snapshot", step=shown_step, done=done, total=total)

    prescoring = Prescoring(config.metrics)
    asker = Asker(session.client, lora_id, seed=config.seed, blocked=state.blocked, on_answer=prescoring)
    transcripts, requests = await asker.ask([*probes, *state.ahead], tick)
    duration_s = round(time.monotonic() - began, 3)
    found, ahead = transcripts[: len(probes)], transcripts[len(probes) :]
    if any(
        transcript.metadata.error is not None and transcript.metadata.error.kind == "failed" for transcript in found
    ):
        await session.client.check_adapter(lora_id)  # one that vanished is an error, not a step of failed probes
    await prescoring.done()
    context = ScoringContext(preference=session.preference, baseline=state.baseline)
    snapshot = await asyncio.to_thread(score_snapshot, found, context, size=state.size, metrics=config.metrics)
    shared = {transcript.metadata.asked_as for transcript in found}
    only_ahead = sum(transcript.key not in shared for transcript in ahead)
    return snapshot.model_copy(update={"requests": requests - only_ahead, "duration_s": duration_s}), ahead


def _plan(session: Session, state: State) -> ProbePlan:
    config = session.config
    return ProbePlan(
        preference=session.preference,
        size=state.size,
        step=state.step,
        collapse_due=state.step in config.collapse_steps or state.size == "full",
        seed=config.seed,
        max_tokens=config.probe_max_tokens,
    )


async def measure_baseline(session: Session, adapter: AdapterRecord) -> EvalSnapshot:
    """The untouched adapter, in full."""
    blocked = await _sampler_on(session.client, None)
    untouched = State(step=BASELINE_STEP, size="full", baseline=None, blocked=blocked)
    baseline, _ = await measure(session, adapter.lora_id, untouched)
    session.say("baseline", f"baseline measured ({_cost(baseline)})", numbers=_headline(baseline))
    return baseline


async def _sampler_on(client: ClaasClient, model_path: str | None) -> Unmeasured | None:
    """Tinker's one sampler serves the latest trained adapter, whoever trained it: put it on ours.

    Returns why generation cannot be measured, where the deployment has no way to do that.
    """
    if not client.routes.one_sampler:
        return None
    try:
        await client.refresh_sampler(model_path)
        now = await client.sampler_status()
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return Unmeasured(
            kind="unavailable",
            reason="this deployment has no /v1/sampler/refresh, so its sampler may serve another run's weights",
        )
    if now.model_path != model_path:
        return Unmeasured(
            kind="failed", reason=f"the sampler was asked for {model_path!r} and serves {now.model_path!r}"
        )
    return None


# --- training ---------------------------------------------------------------------------------


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
        await _resume_sampler(session, steps, journal.intent())
    progress = Progress(
        counted=await _counter(session, adapter.lora_id),
        feedback_s=max((record.timings.get("feedback", 0.0) for record in steps), default=None),
    )
    for step in range(first, total):
        with _saying_where(session, step):
            record, progress = await run_step(session, adapter.lora_id, baseline, journal, step, progress)
        cost = f" ({_cost(record.eval)})" if record.eval.snapshot == "full" else ""
        numbers = _headline(record.eval)
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


async def _resume_sampler(session: Session, steps: Sequence[StepRecord], intent: FeedbackIntent | None) -> None:
    """Put Tinker's sampler on the adapter's latest known weights: a step's that is not yet recorded, too."""
    answers = [call for record in steps for call in record.feedback_calls]
    if intent is not None and intent.step == len(steps):
        answers += intent.answers
    paths = [answer.get("sampler_weights_path") for answer in answers]
    blocked = await _sampler_on(session.client, next((path for path in reversed(paths) if path), None))
    if blocked is not None and steps:
        raise RunFolderError(f"cannot resume: {blocked.reason}")


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
        blocked=_UNKNOWN_WEIGHTS if outcome.interrupted and session.client.routes.one_sampler else None,
    )
    (snapshot, ahead), counted = await gather_two(measure(session, lora_id, state), _counter(session, lora_id))
    record = _record(session, outcome, snapshot).model_copy(
        update={
            "timing_s": round(time.monotonic() - began, 3),
            "timings": _timings(outcome.intent.rollouts_s, feedback_s, snapshot),
            **_updates(outcome, counted),
        }
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


def _record(session: Session, outcome: FeedbackOutcome, snapshot: EvalSnapshot) -> StepRecord:
    intent, preference = outcome.intent, session.preference
    return StepRecord(
        preference=preference.name,
        step=intent.step,
        timestamp=utc_now(),
        feedback_given=preference.feedback_string,
        sdpo_metrics=engine_metrics(outcome.answers[-1]) if outcome.answers else None,
        eval=snapshot,
        prompt_used=prompts_of_step(preference, session.config.batch_size, intent.step)[0],
        response_text=intent.batch[0].response,
        timing_s=0.0,
        sub_step_count=outcome.updates,
        rollout_batch=list(intent.batch),
        feedback_calls=list(outcome.answers),
        interrupted=outcome.interrupted,
        replaced_rollouts=list(intent.replaced),
    )


def _timings(rollouts_s: float | None, feedback_s: float, snapshot: EvalSnapshot) -> dict[str, float]:
    timed = {"rollouts": rollouts_s, "feedback": feedback_s, "probes": snapshot.duration_s}
    return {name: seconds for name, seconds in timed.items() if seconds is not None}


async def _counter(session: Session, lora_id: str) -> int | None:
    """The deployment's count of the adapter's updates, where it can be asked for."""
    status = await session.client.adapter_status(lora_id)
    return None if status is None else status.updates


def _updates(outcome: FeedbackOutcome, counted: int | None) -> dict[str, int | None]:
    """Updates of the step, and the deployment's count after it.

    Where the deployment can be asked, its count decides: a call that was given up may have trained after
    all. Tinker cannot be asked, but each of its answers has the count so far: `step`.
    """
    before = outcome.intent.updates_before
    if counted is not None:
        made = counted - before if before is not None else outcome.updates
        return {"sub_step_count": made, "updates_counted": counted}
    last = outcome.answers[-1].get("step") if outcome.answers and not outcome.interrupted else None
    return {"sub_step_count": outcome.updates, "updates_counted": last if isinstance(last, int) else None}


_UNKNOWN_WEIGHTS = Unmeasured(
    kind="failed",
    reason="whether the interrupted feedback trained is not known, nor then whose weights the one sampler serves",
)


def _cost(snapshot: EvalSnapshot) -> str:
    """What a snapshot cost: a full one is worth knowing before `snapshot_steps` asks for more of them."""
    return f"{snapshot.snapshot} snapshot: {snapshot.requests} requests, {snapshot.duration_s or 0:.0f} s"


def _headline(snapshot: EvalSnapshot) -> dict[str, float | None]:
    """The numbers worth showing while it runs."""
    margin, general, collapse = snapshot.logprob_margin, snapshot.general, snapshot.collapse
    numbers = {
        "compliance": snapshot.preference_compliance,
        "margin_nats": margin.margin if margin else None,
        "general": general.general_score if general else None,
        "entropy_ratio": collapse.entropy_ratio_to_baseline if collapse else None,
    }
    return {name: value for name, value in numbers.items() if value is not None}

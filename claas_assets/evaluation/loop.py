"""The feedback loop, flat: an adapter, its baseline, then step by step rollouts → feedback → probes.

Everything is measured through the deployment's address; scoring is done by pure functions on the
transcripts, inline so that each step's line is complete, and again by the metric assets at any time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.asking import Asker
from claas_assets.evaluation.client import ClaasClient, engine_metrics
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import RequestRefused, RunFolderError
from claas_assets.evaluation.feedback import give_feedback, prompts_of_step, roll_out
from claas_assets.evaluation.journal import FeedbackIntent, Journal
from claas_assets.evaluation.names import lora_id_for
from claas_assets.evaluation.preferences import Preference
from claas_assets.evaluation.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.progress import Event, Reporter
from claas_assets.evaluation.provenance import provenance, utc_now
from claas_assets.evaluation.records import (
    AdapterRecord,
    EvalSnapshot,
    SnapshotSize,
    StepRecord,
    Unmeasured,
)
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


async def measure(
    session: Session,
    adapter: AdapterRecord,
    *,
    step: int,
    size: SnapshotSize,
    baseline: EvalSnapshot | None,
    blocked: Unmeasured | None = None,
) -> EvalSnapshot:
    """Ask all probes of all metrics of this state at once, and score them."""
    config, began = session.config, time.monotonic()
    plan = ProbePlan(
        preference=session.preference,
        size=size,
        step=step,
        collapse_due=step in config.collapse_steps or size == "full",
        seed=config.seed,
        max_tokens=config.probe_max_tokens,
    )
    shown_step = None if step == BASELINE_STEP else step

    def tick(done: int, total: int) -> None:
        session.say("probes", f"{size} snapshot", step=shown_step, done=done, total=total)

    asker = Asker(session.client, adapter.lora_id, seed=config.seed, blocked=blocked)
    transcripts, requests = await asker.ask(gather_probes(config.metrics, plan), tick)
    context = ScoringContext(preference=session.preference, baseline=baseline)
    snapshot = score_snapshot(transcripts, context, size=size, metrics=config.metrics)
    return snapshot.model_copy(update={"requests": requests, "duration_s": round(time.monotonic() - began, 3)})


async def measure_baseline(session: Session, adapter: AdapterRecord) -> EvalSnapshot:
    """The untouched adapter, in full."""
    blocked = await _sampler_on(session.client, None)
    baseline = await measure(session, adapter, step=BASELINE_STEP, size="full", baseline=None, blocked=blocked)
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
    first = len(steps)
    if first >= session.config.num_steps:
        return 0
    await _resume_sampler(session, steps)
    for step in range(first, session.config.num_steps):
        record = await run_step(session, adapter, baseline, journal, step)
        journal.append(record)
        session.say(
            "step",
            f"step {step + 1} of {session.config.num_steps} done"
            + (f" ({_cost(record.eval)})" if record.eval.snapshot == "full" else ""),
            step=step,
            num_steps=session.config.num_steps,
            numbers=_headline(record.eval),
        )
    return session.config.num_steps - first


async def _resume_sampler(session: Session, steps: Sequence[StepRecord]) -> None:
    paths = [call.get("sampler_weights_path") for record in steps for call in record.feedback_calls]
    blocked = await _sampler_on(session.client, next((path for path in reversed(paths) if path), None))
    if blocked is not None and steps:
        raise RunFolderError(f"cannot resume at step {len(steps)}: {blocked.reason}")


async def run_step(
    session: Session, adapter: AdapterRecord, baseline: EvalSnapshot, journal: Journal, step: int
) -> StepRecord:
    """One step. An intent that an earlier, interrupted process left is gone on with, never repeated."""
    config, preference = session.config, session.preference
    began = time.monotonic()
    intent = journal.intent()
    if intent is None or intent.step != step:
        session.say("rollouts", "generating the batch", step=step, num_steps=config.num_steps)
        batch = await roll_out(session, adapter.lora_id, step)
        intent = FeedbackIntent(
            step=step,
            batch=batch,
            updates_before=await _updates(session, adapter.lora_id),
            rollouts_s=round(time.monotonic() - began, 3),
        )
    session.say("feedback", "training on the feedback", step=step, num_steps=config.num_steps)
    trained = time.monotonic()
    outcome = await give_feedback(session, adapter.lora_id, intent, journal)
    feedback_s = round(time.monotonic() - trained, 3)
    size: SnapshotSize = "full" if _full_snapshot_due(config, step) else "light"
    snapshot = await measure(session, adapter, step=step, size=size, baseline=baseline)
    return StepRecord(
        preference=preference.name,
        step=step,
        timestamp=utc_now(),
        feedback_given=preference.feedback_string,
        sdpo_metrics=engine_metrics(outcome.answers[-1]) if outcome.answers else None,
        eval=snapshot,
        prompt_used=prompts_of_step(preference, config.batch_size, step)[0],
        response_text=intent.batch[0].response,
        timing_s=round(time.monotonic() - began, 3),
        sub_step_count=outcome.updates,
        rollout_batch=list(intent.batch),
        feedback_calls=list(outcome.answers),
        timings={
            "rollouts": intent.rollouts_s,
            "feedback": feedback_s,
            "probes": snapshot.duration_s or 0.0,
        },
        interrupted=outcome.interrupted,
    )


def _full_snapshot_due(config: EvalConfig, step: int) -> bool:
    return step == config.num_steps - 1 or step in config.snapshot_steps


async def _updates(session: Session, lora_id: str) -> int | None:
    """The adapter's update counter, where the deployment has one."""
    status = await session.client.adapter_status(lora_id)
    return None if status is None else status.updates


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

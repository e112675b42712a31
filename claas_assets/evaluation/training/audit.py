"""An adapter that people use, measured as it is: the base model before, the adapter after, and nothing trained.

What was trained meanwhile, by those who use it, shows in what is known of the adapter before and after.
"""

import time

from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.errors import AdapterLost, DeploymentError
from claas_assets.evaluation.storage.journal import Journal
from claas_assets.evaluation.storage.provenance import utc_now
from claas_assets.evaluation.storage.records import AdapterRecord, AuditedState, EvalSnapshot, StepRecord
from claas_assets.evaluation.training.checkpoints import served_checkpoint
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.sampler import put_sampler_on
from claas_assets.evaluation.training.snapshot import AdapterState, measure

_MESSAGES = (("user", "Who are you?"),)  # what most feedback moves
_COMPLETION = "I am an AI assistant."
_SAME = 0.005
"""Nats a token: what scoring one text twice may differ by, on a deployment that counts no updates."""


async def audited_state(client: ClaasClient, lora_id: str, base_model: str) -> AuditedState:
    """What tells whether the adapter was trained. Raises `DeploymentError` where there is no adapter to measure."""
    if client.routes.engine.one_sampler:
        checkpoint = await served_checkpoint(client)
        if checkpoint.path is None:
            raise DeploymentError(
                f"the one sampler of {client.routes.claas_url} does not say that it serves an adapter, so the weights "
                f"of {lora_id} cannot be found: let it serve that adapter's checkpoint (POST /v1/sampler/refresh), and "
                "run again"
            )
        return AuditedState(updates=checkpoint.updates, sampler_path=checkpoint.path)
    await client.check_adapter(lora_id)
    status = await client.adapter_status(lora_id)
    if status is not None and status.base_model != base_model:
        raise DeploymentError(
            f"the adapter {lora_id} is one of {status.base_model}, and base_model is {base_model}: what it was before "
            f"is measured on the base model, so set base_model={status.base_model}"
        )
    score = await client.score(_MESSAGES, _COMPLETION, lora_id=lora_id)
    return AuditedState(
        updates=None if status is None else status.updates,
        nats_per_token=score.logprob_sum / score.completion_tokens,
    )


async def measure_base(context: TrainingContext) -> EvalSnapshot:
    """The base model behind the same deployment, in full. The one sampler is put back as it was."""
    client, base_model = context.client, context.config.base_model
    untouched = AdapterState(step=-1, preference=context.sequence.first, size="full", baseline=None)
    if not client.routes.engine.one_sampler:
        await prove_gateway(client, base_model, allow_unproven=context.config.allow_unproven_gateway)
        baseline, _ = await measure(context, base_model, untouched)
        return baseline
    return await _measure_base_on_sampler(context, untouched)


async def _measure_base_on_sampler(context: TrainingContext, untouched: AdapterState) -> EvalSnapshot:
    """Where somebody trained meanwhile, the sampler is on what was trained, and is left there."""
    client = context.client
    was_on = (await served_checkpoint(client)).path
    blocked = await put_sampler_on(client, None)
    if blocked is not None:
        raise DeploymentError(f"the base model cannot be measured: {blocked.reason}")
    moved_to: str | None = None
    try:
        baseline, _ = await measure(context, context.config.base_model, untouched)
    finally:
        moved_to = (await served_checkpoint(client)).path
        if moved_to is None:
            await put_sampler_on(client, was_on)
    if moved_to is not None:
        raise DeploymentError(
            f"the one sampler was moved to {moved_to} while the base model was measured: somebody trains on this "
            "deployment. Run again with the same output_dir when nobody does"
        )
    return baseline


async def measure_audited(
    context: TrainingContext, adapter: AdapterRecord, baseline: EvalSnapshot, journal: Journal
) -> int:
    """The adapter as it is, as the one step of the run; returns how many were measured."""
    if journal.read():
        return 0
    began, client, config = time.monotonic(), context.client, context.config
    await prove_gateway(client, adapter.lora_id, allow_unproven=config.allow_unproven_gateway)
    snapshot, _ = await measure(context, adapter.lora_id, AdapterState(0, context.sequence.first, "full", baseline))
    record = StepRecord(
        preference=context.sequence.name,
        step=0,
        timestamp=utc_now(),
        feedback_given="",
        sdpo_metrics=None,
        eval=snapshot,
        prompt_used="",
        response_text="",
        timing_s=round(time.monotonic() - began, 3),
        sub_step_count=0,
        rollout_batch=[],
        timings={} if snapshot.duration_s is None else {"probes": snapshot.duration_s},
        trained_meanwhile=await _trained_meanwhile(context, adapter),
    )
    journal.append(record)
    context.say("step", "the adapter is measured", step=0, num_steps=1, numbers=snapshot.headline())
    return 1


async def _trained_meanwhile(context: TrainingContext, adapter: AdapterRecord) -> str | None:
    """How it is seen that somebody trained the adapter since the audit began; None where nothing shows it."""
    then = adapter.audited
    if then is None:
        raise AdapterLost(f"metadata.json of {context.folder} does not say how the adapter was found")
    now = await audited_state(context.client, adapter.lora_id, context.config.base_model)
    if now.sampler_path != then.sampler_path:
        return f"the sampler served {then.sampler_path} and then {now.sampler_path}"
    if now.updates != then.updates:
        return f"it had {then.updates} updates and then {now.updates}"
    if then.nats_per_token is None or now.nats_per_token is None or now.updates is not None:
        return None
    by = abs(now.nats_per_token - then.nats_per_token)
    return f"a fixed text scores {by:.3f} nats a token otherwise than before" if by > _SAME else None

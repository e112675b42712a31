"""A fresh adapter, and what may not change once it is there."""

from collections.abc import Mapping
from typing import Any

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.gateway import GatewayProof, prove_gateway
from claas_assets.evaluation.deployment.responses import Deployment
from claas_assets.evaluation.errors import DeploymentError, RunFolderError
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.storage.names import lora_id_for
from claas_assets.evaluation.storage.provenance import provenance
from claas_assets.evaluation.storage.recorded_config import flat, measuring_inputs
from claas_assets.evaluation.storage.records import AdapterRecord, SequenceRecord
from claas_assets.evaluation.training.audit import audited_state
from claas_assets.evaluation.training.context import TrainingContext


async def adopt_adapter(context: TrainingContext) -> AdapterRecord:
    """The adapter that is audited, as it is found."""
    config, lora_id = context.config, context.config.lora_id
    assert lora_id is not None
    context.say("adapter", f"auditing adapter {lora_id}")
    deployment = await context.client.describe()
    audited = await audited_state(context.client, lora_id, config.base_model)
    proof = await prove_gateway(context.client, lora_id, allow_unproven=config.allow_unproven_gateway)
    record = _record(context, lora_id, deployment, proof)
    audit = (
        f"an audit: nothing was trained. Before is {config.base_model}, after is the adapter {lora_id} as it was found"
    )
    return record.model_copy(update={"audited": audited, "caveats": [audit, *record.caveats]})


async def create_adapter(context: TrainingContext) -> AdapterRecord:
    """A fresh adapter on the deployment, under the id that the deployment answered."""
    config, run_id = context.config, context.folder.parent.name
    wanted = lora_id_for(config.lora_id_prefix, context.sequence.name, run_id)
    context.say("adapter", f"making adapter {wanted} on {config.base_model}", num_steps=len(context.turns))
    deployment = await context.client.describe()
    await prove_gateway(context.client, None, allow_unproven=config.allow_unproven_gateway)  # before anything is made
    lora_id = await context.client.init_adapter(wanted, config.base_model, config.lora)
    proof = await _proof_with(context, lora_id)
    return _record(context, lora_id, deployment, proof)


def _record(
    context: TrainingContext, lora_id: str, deployment: Deployment, proof: GatewayProof | None
) -> AdapterRecord:
    config = context.config
    return AdapterRecord(
        config=config.recorded(),
        without_effect=config.without_effect(),
        lora_id=lora_id,
        preference=context.sequence.name,
        run_id=context.folder.parent.name,
        training_inputs=config.training_inputs(),
        preference_text=context.sequence.text(),
        provenance=provenance(deployment.as_record()),
        gateway=None if proof is None else proof.as_record(),
        sequence=context.sequence.record(config.num_steps),
        control_feedback=None if context.sequence.feedback is None else dict(context.sequence.feedback),
        caveats=[*([] if proof is None else _caveats(proof)), *context.sequence.limits],
    )


async def _proof_with(context: TrainingContext, lora_id: str) -> GatewayProof | None:
    """The gateway's proof with the fresh adapter, which is deleted where the gateway does not answer for it."""
    try:
        return await prove_gateway(context.client, lora_id, allow_unproven=context.config.allow_unproven_gateway)
    except DeploymentError:
        await context.client.delete_adapter(lora_id)
        raise


def _caveats(proof: GatewayProof) -> list[str]:
    unproven = (
        f"chat went through the gateway {proof.url}, which may have served other weights than this adapter's: "
        f"{proof.said} (allow_unproven_gateway)"
    )
    unknown = (
        "chat went through a gateway, which does not pass token limits on as CLaaS reads them: where no answer is "
        "marked as cut, it is not known whether one was"
    )
    return [*([] if proof.is_proven else [unproven]), unknown]


def check_frozen(adapter: AdapterRecord, config: EvalConfig, sequence: PreferenceSequence) -> None:
    """Refuse to go on where training, the preferences' texts or how they are measured is not as it began.

    Raises `RunFolderError` with each key that differs, its value then and its value now.
    """
    then = {
        "control": "none",  # before there was such a key
        **adapter.training_inputs,
        **measuring_inputs(adapter.config),
        **_trained_text(adapter.preference_text, adapter.sequence, adapter.control_feedback),
    }
    trained = _trained_text(sequence.text(), sequence.record(config.num_steps), sequence.feedback)
    before, after = flat(then), flat({**config.training_inputs(), **config.measuring_inputs(), **trained})
    after |= dict.fromkeys(before.keys() - after.keys(), None)
    changed = [f"{key}: {_then_and_now(before.get(key), after[key])}" for key in after if before.get(key) != after[key]]
    if changed:
        raise RunFolderError(
            f"run {adapter.run_id}, preference {adapter.preference}: what it trains on or how it measures has changed "
            "since the adapter was made: " + "; ".join(changed) + ". Use another output_dir for a new evaluation"
        )


_BEFORE: dict[str, Any] = {"feedback_strings": [], "feedback_policy": "always"}
"""What held for runs that were made before preference files had these keys."""


_SHORT = 160  # characters of two lists that are shown whole


def _then_and_now(then: Any, now: Any) -> str:
    """Both values; of two long lists, only the entries that differ."""
    shown = f"{then!r} then, {now!r} now"
    if not isinstance(then, list | tuple) or not isinstance(now, list | tuple) or len(shown) <= _SHORT:
        return shown
    gone, come = [entry for entry in then if entry not in now], [entry for entry in now if entry not in then]
    if not gone and not come:
        return "the same entries in another order, or another number of times"
    return f"{_entries(gone)} then, {_entries(come)} now; the other {len(now) - len(come)} are the same"


def _entries(entries: list[Any]) -> str:
    more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
    return ", ".join(f"{entry!r:.80}" for entry in entries[:3]) + more if entries else "nothing in their place"


def _trained_text(
    text: Mapping[str, Any], sequence: SequenceRecord | None, control: Mapping[str, str] | None
) -> dict[str, Any]:
    """The parts of the files that training sees."""
    feedback = {"control_feedback": None if control is None else dict(control)}
    if sequence is None:
        return {**feedback, **_trained_parts(text)}
    told = {name: _trained_parts(file) for name, file in text.get("preferences", {}).items()}
    phases = [(phase.preference, phase.steps) for phase in sequence.phases]
    return {**feedback, "phases": phases, "schedule": sequence.schedule, **told}


def _trained_parts(text: Mapping[str, Any]) -> dict[str, Any]:
    """Of one preference. Held-out prompts may change, and the verifier, unless it says what is corrected."""
    verifier = ["verifier"] if text.get("feedback_policy", "always") != "always" else []
    keys = ["feedback_string", "feedback_strings", "feedback_policy", "probe_prompts", *verifier]
    return {key: text.get(key, _BEFORE.get(key)) for key in keys}

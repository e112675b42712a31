"""The baseline of a sweep, measured once where its jobs differ in nothing above it.

Two untouched adapters of one configuration are one state of the model. So a later job takes the baseline of an
earlier one, where the deployment gives this job's own adapter the same answers again: that is asked, not assumed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.metrics.probes import Probe
from claas_assets.evaluation.storage.recorded_config import measuring_inputs
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, Transcript
from claas_assets.evaluation.storage.run_folder import METADATA_FILE, PreferenceFolder
from claas_assets.evaluation.storage.stores import folders_in
from claas_assets.evaluation.training.asking import NOISE_PREFIX, Asker
from claas_assets.evaluation.training.context import TrainingContext

_LEAST_ASKED_AGAIN = 3
_CONFIG = ("mode", "base_model", "seed", "lora", "openclaw_url")
_CODE = ("package_version", "git_commit", "packages")
_DEPLOYMENT = ("name", "version", "deployment_id")


async def shared_baseline(
    context: TrainingContext, adapter: AdapterRecord, probes: Sequence[Probe]
) -> EvalSnapshot | None:
    """The whole baseline of an earlier job of the sweep, as this job's; None where it has to measure its own.

    `probes`: what this job would ask. Asked are the prompts of the earlier job's noise floor, and one given answer is
    scored.
    """
    found = next(_alike(context, adapter), None)
    if found is None:
        return None
    run_id, theirs = found
    before = {transcript.key: transcript for transcript in theirs.rollouts}
    again = [probe for probe in probes if probe.key.startswith(NOISE_PREFIX) and probe.key in before]
    again += [probe for probe in probes if probe.kind == "score"][:1]
    if len(again) < _LEAST_ASKED_AGAIN:
        return None
    asker = Asker(context.client, adapter.lora_id, seed=context.config.seed)
    ours, requests = await asker.ask(again, lambda done, total: None)
    if not all(_same(before.get(transcript.key), transcript) for transcript in ours):
        context.say("note", f"the baseline of {run_id} is not shared: asked again, the deployment answers otherwise")
        return None
    return theirs.model_copy(
        update={"shared_from": theirs.shared_from or run_id, "requests": requests, "duration_s": None}
    )


def _alike(context: TrainingContext, adapter: AdapterRecord) -> Iterator[tuple[str, EvalSnapshot]]:
    """(run id, baseline) of the sweep's other jobs with the same adapter-less state, measured alike and whole."""
    sweep = context.config.sweep_id
    if sweep is None:
        return
    for folder in folders_in(context.config.results_dir):
        theirs = PreferenceFolder(folder / context.sequence.name)
        if not folder.name.startswith(f"{sweep}-") or folder.name == adapter.run_id:
            continue
        try:
            baseline = _alike_in(theirs, adapter)
        except RunFolderError as error:
            context.say("note", f"the baseline of {folder.name} is not shared: {error}")
            continue
        if baseline is not None:
            yield folder.name, baseline


def _alike_in(theirs: PreferenceFolder, adapter: AdapterRecord) -> EvalSnapshot | None:
    if not theirs.has(METADATA_FILE) or _depends_on(theirs.adapter()) != _depends_on(adapter):
        return None
    baseline = theirs.baseline()
    return baseline if baseline is not None and _gives_the_same_again(baseline) else None


def _depends_on(adapter: AdapterRecord) -> dict[str, Any]:
    """All that a baseline depends on, as far as files say it."""
    made = adapter.provenance
    return {
        **{key: adapter.config.get(key) for key in _CONFIG},
        **measuring_inputs(adapter.config),
        **{key: getattr(made, key) for key in _CODE},
        "deployment": {key: made.deployment.get(key) for key in _DEPLOYMENT},
        "gateway": adapter.gateway,
        "preference": adapter.preference_text,
    }


def _gives_the_same_again(baseline: EvalSnapshot) -> bool:
    """Whether every probe was answered, and those that were asked twice were answered alike."""
    states = [baseline, *baseline.beside.values()]
    whole = all(transcript.metadata.error is None for state in states for transcript in state.rollouts)
    compliance = baseline.stats.compliance
    return whole and compliance is not None and compliance.noise is not None and compliance.noise.deterministic


def _same(then: Transcript | None, now: Transcript) -> bool:
    return (
        then is not None
        and now.metadata.error is None
        and then.messages == now.messages
        and (then.metadata.seed, then.metadata.max_tokens) == (now.metadata.seed, now.metadata.max_tokens)
        and then.metadata.logprob_sum == now.metadata.logprob_sum
    )

"""All numbers of one state of the adapter: probes asked at once, transcripts scored."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.errors import DeploymentError
from claas_assets.evaluation.metrics.beside import by_preference, probes_beside, set_of
from claas_assets.evaluation.metrics.logprob import LogprobMetric
from claas_assets.evaluation.metrics.made_pairs import make_pairs, with_pairs_of
from claas_assets.evaluation.metrics.prescoring import Prescoring
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan
from claas_assets.evaluation.metrics.scoring import Subjects, gather_probes, score_state
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.storage.records import (
    BASELINE_STEP,
    AdapterRecord,
    EvalSnapshot,
    SnapshotSize,
    Transcript,
    Unmeasured,
)
from claas_assets.evaluation.training.asking import Asker
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.judgements import judgements_of_answers
from claas_assets.evaluation.training.sampler import Serving, Weights, put_sampler_on, serves
from claas_assets.evaluation.training.shared_baseline import shared_baseline

_TICK_S = 0.1
"""Between two words on how many have answered: each goes through three processes, and nobody reads faster."""


@dataclass(frozen=True)
class AdapterState:
    """The state of the adapter that is measured, and how."""

    step: int
    """The feedback step after which it is measured; -1: untouched."""
    preference: Preference
    """The one that the step trained, or, of the untouched adapter, the first that will be."""
    size: SnapshotSize
    baseline: EvalSnapshot | None
    """What its numbers are compared with; None for the baseline itself."""
    ahead: Sequence[Probe] = ()
    """Probes of the next step that are sent after all of the metrics'."""
    weights: Weights = None
    """Whose weights answer."""


async def measure(context: TrainingContext, lora_id: str, state: AdapterState) -> tuple[EvalSnapshot, list[Transcript]]:
    """Ask all probes of all metrics at once, and score the answers; with the answers to `ahead`, unscored."""
    config, began = context.config, time.monotonic()
    probes, others = probes_of(config, context.sequence, state)
    prescoring = Prescoring(config.metrics)
    asked = [*probes, *others, *state.ahead]
    answered, requests = await _ask_of_state(context, lora_id, asked, state, prescoring)
    duration_s = round(time.monotonic() - began, 3)
    transcripts, ahead = _of(probes, answered), _of(state.ahead, answered)
    beside = by_preference(_of(others, answered))
    await prescoring.done()
    for name, own in [(state.preference.name, transcripts), *beside.items()]:
        own += await _ask_more(context, lora_id, state, context.sequence.preferences[name], own)
    subjects = Subjects(context.sequence.preferences, config.metrics, state.baseline)
    snapshot = await asyncio.to_thread(score_state, transcripts, beside, state.preference, subjects, size=state.size)
    shared = {transcript.metadata.asked_as for transcript in (*_of(probes, answered), *_of(others, answered))}
    only_ahead = sum(transcript.key not in shared for transcript in ahead)
    return snapshot.model_copy(update={"requests": requests - only_ahead, "duration_s": duration_s}), ahead


def _of(probes: Sequence[Probe], answered: Sequence[Transcript]) -> list[Transcript]:
    """The answers to these, in their order: not every probe is asked (`Asker.ask`)."""
    keys = {probe.key for probe in probes}
    return [transcript for transcript in answered if transcript.key in keys]


async def _ask_more(
    context: TrainingContext, lora_id: str, state: AdapterState, preference: Preference, own: Sequence[Transcript]
) -> list[Transcript]:
    """What is asked once the answers are there: the judge, and at the baseline the pairs that they make."""
    before = None if state.baseline is None else state.baseline.of(preference.name)
    more = await judgements_of_answers(preference, context.config.metrics, before, own)
    return more if before is not None else more + await _ask_made_pairs(context, lora_id, [*own, *more], preference)


def probes_of(config: EvalConfig, sequence: PreferenceSequence, state: AdapterState) -> tuple[list[Probe], list[Probe]]:
    """What a state is asked: the probes of the preference that is trained, and those of the others beside it."""
    others = [other for other in sequence.preferences.values() if other.name != state.preference.name]
    beside = [probe for other in others for probe in probes_beside(config.metrics, _plan(config, state, other))]
    return gather_probes(config.metrics, _plan(config, state, state.preference)), beside


async def _ask_made_pairs(
    context: TrainingContext, lora_id: str, answered: Sequence[Transcript], preference: Preference
) -> list[Transcript]:
    """The logprobs of the pairs that the untrained model's answers make, where the preference has none of its own."""
    if preference.logprob_pairs is not None or LogprobMetric.name not in context.config.metrics:
        return []
    pairs = await asyncio.to_thread(make_pairs, answered, preference)
    with_pairs = preference.model_copy(update={"logprob_pairs": pairs or None})
    plan = _plan(context.config, AdapterState(BASELINE_STEP, preference, "full", None), with_pairs)
    asker = Asker(context.client, lora_id, seed=context.config.seed)
    transcripts, _ = await asker.ask(LogprobMetric().probes(plan), lambda done, total: None)
    return transcripts


async def _ask_of_state(
    context: TrainingContext, lora_id: str, probes: Sequence[Probe], state: AdapterState, prescoring: Prescoring
) -> tuple[list[Transcript], int]:
    """Transcripts and the number of requests. Asked again, once, where the sampler served other weights at the end.

    Then the deployment restarted, or somebody else trained on it; where that happens again, nothing is measured.
    """
    shown_step = None if state.step == BASELINE_STEP else state.step

    said = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal said
        if done < total and time.monotonic() - said < _TICK_S:
            return
        said = time.monotonic()
        context.say("probes", f"{state.size} snapshot", step=shown_step, done=done, total=total)

    async def ask(blocked: Unmeasured | None) -> tuple[list[Transcript], int]:
        asker = Asker(context.client, lora_id, seed=context.config.seed, blocked=blocked, on_answer=prescoring)
        transcripts, requests = await asker.ask(probes, tick)
        if blocked is None:
            await _refuse_failed_sets(context, lora_id, transcripts)
        return transcripts, requests

    weights = state.weights
    transcripts, requests = await ask(weights if isinstance(weights, Unmeasured) else None)
    if not isinstance(weights, Serving) or await serves(context.client, weights):
        return transcripts, requests
    context.say("note", "the sampler served other weights when all was asked: asking again", step=shown_step)
    blocked = await put_sampler_on(context.client, weights.model_path)
    transcripts, more = await ask(blocked)
    if blocked is None and not await serves(context.client, weights):
        transcripts, _ = await ask(_MOVING_SAMPLER)
    return transcripts, requests + more


_LEAST_OF_A_SET = 3  # probes: fewer may fail together by chance


async def _refuse_failed_sets(context: TrainingContext, lora_id: str, transcripts: Sequence[Transcript]) -> None:
    """Raise where a whole set of probes failed: what refuses every one of them will not measure the next state.

    An adapter that vanished is `AdapterVanished`; all else is a `DeploymentError` in the server's own words.
    """
    failed: dict[str, list[str | None]] = {}
    for transcript in transcripts:
        error = transcript.metadata.error
        reason = error.reason if error is not None and error.kind == "failed" else None
        failed.setdefault(set_of(transcript.key), []).append(reason)
    if any(any(reasons) for reasons in failed.values()):
        await context.client.check_adapter(lora_id)
    for name, reasons in failed.items():
        if len(reasons) >= _LEAST_OF_A_SET and all(reasons):
            raise DeploymentError(f"none of the {len(reasons)} probes {name} was answered. The first: {reasons[0]}")


_MOVING_SAMPLER = Unmeasured(
    kind="failed", reason="the one sampler was put on other weights twice while it was measured: who else uses it?"
)


def _plan(config: EvalConfig, state: AdapterState, preference: Preference) -> ProbePlan:
    before = None if state.baseline is None else state.baseline.of(preference.name)
    return ProbePlan(
        preference=with_pairs_of(before, preference),
        size=state.size,
        step=state.step,
        collapse_due=state.step in config.collapse_steps or state.size == "full",
        seed=config.seed,
        max_tokens=config.probe_max_tokens,
        temperature=config.probe_temperature,
        snapshot_size=config.snapshot_size,
    )


async def measure_baseline(context: TrainingContext, adapter: AdapterRecord) -> EvalSnapshot:
    """The untouched adapter, in full; in a sweep, the baseline of an earlier job where that is the same."""
    await prove_gateway(context.client, adapter.lora_id, allow_unproven=context.config.allow_unproven_gateway)
    weights: Weights = await put_sampler_on(context.client, None)
    if weights is None and context.client.routes.engine.one_sampler:
        weights = Serving(None)
    untouched = AdapterState(BASELINE_STEP, context.sequence.first, "full", None, weights=weights)
    if not isinstance(weights, Unmeasured):
        probes, _ = probes_of(context.config, context.sequence, untouched)
        shared = await shared_baseline(context, adapter, probes)
        if shared is not None:
            of = f"baseline of {shared.shared_from}: {shared.requests} questions asked again have the same answers"
            context.say("baseline", of, numbers=shared.headline())
            return shared
    baseline, _ = await measure(context, adapter.lora_id, untouched)
    context.say("baseline", f"baseline measured ({cost_of(baseline)})", numbers=baseline.headline())
    return baseline


def cost_of(snapshot: EvalSnapshot) -> str:
    """What a snapshot cost: a full one is worth knowing before `snapshot_steps` asks for more of them."""
    took = "" if snapshot.duration_s is None else f", {snapshot.duration_s:.0f} s"
    return f"{snapshot.snapshot} snapshot: {snapshot.requests} requests{took}"

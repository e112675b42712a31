"""All numbers of one state of the adapter: probes asked at once, transcripts scored.

Scoring is done by pure functions on the transcripts, inline so that each step's line is complete, and again
by the metric assets at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from claas_assets.evaluation.metrics.prescoring import Prescoring
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import gather_probes, score_snapshot
from claas_assets.evaluation.storage.records import AdapterRecord, EvalSnapshot, SnapshotSize, Transcript, Unmeasured
from claas_assets.evaluation.training.asking import Asker
from claas_assets.evaluation.training.sampler import Serving, put_sampler_on, serves
from claas_assets.evaluation.training.session import Session

BASELINE_STEP = -1


@dataclass(frozen=True)
class State:
    """What is measured: the adapter after `step` (-1: untouched).

    `ahead`: probes sent after all of the metrics'. `blocked`: why nothing can be measured. `serving`: None
    where each adapter is served by its name, or nothing tells what is served.
    """

    step: int
    size: SnapshotSize
    baseline: EvalSnapshot | None
    ahead: Sequence[Probe] = ()
    blocked: Unmeasured | None = None
    serving: Serving | None = None


async def measure(session: Session, lora_id: str, state: State) -> tuple[EvalSnapshot, list[Transcript]]:
    """Ask all probes of all metrics of this state at once, and score them; the answers to `ahead` beside it."""
    config, began = session.config, time.monotonic()
    probes = gather_probes(config.metrics, _plan(session, state))
    prescoring = Prescoring(config.metrics)
    transcripts, requests = await _ask_of_state(session, lora_id, [*probes, *state.ahead], state, prescoring)
    duration_s = round(time.monotonic() - began, 3)
    found, ahead = transcripts[: len(probes)], transcripts[len(probes) :]
    errors = [transcript.metadata.error for transcript in found if transcript.metadata.error is not None]
    if any(error.kind == "failed" for error in errors):
        await session.client.check_adapter(lora_id)  # one that vanished is an error, not a step of failed probes
    await prescoring.done()
    context = ScoringContext(preference=session.preference, baseline=state.baseline)
    snapshot = await asyncio.to_thread(score_snapshot, found, context, size=state.size, metrics=config.metrics)
    shared = {transcript.metadata.asked_as for transcript in found}
    only_ahead = sum(transcript.key not in shared for transcript in ahead)
    return snapshot.model_copy(update={"requests": requests - only_ahead, "duration_s": duration_s}), ahead


async def _ask_of_state(
    session: Session, lora_id: str, probes: Sequence[Probe], state: State, prescoring: Prescoring
) -> tuple[list[Transcript], int]:
    """Transcripts and the number of requests. Asked again, once, where the sampler served other weights at the end.

    Then the deployment restarted, or somebody else trained on it; where that happens again, nothing is measured.
    """
    shown_step = None if state.step == BASELINE_STEP else state.step

    def tick(done: int, total: int) -> None:
        session.say("probes", f"{state.size} snapshot", step=shown_step, done=done, total=total)

    def asker(blocked: Unmeasured | None) -> Asker:
        return Asker(session.client, lora_id, seed=session.config.seed, blocked=blocked, on_answer=prescoring)

    transcripts, requests = await asker(state.blocked).ask(probes, tick)
    if state.serving is None or state.blocked is not None or await serves(session.client, state.serving):
        return transcripts, requests
    session.say("note", "the sampler served other weights when all was asked: asking again", step=shown_step)
    blocked = await put_sampler_on(session.client, state.serving.model_path)
    transcripts, more = await asker(blocked).ask(probes, tick)
    if blocked is None and not await serves(session.client, state.serving):
        transcripts, _ = await asker(_MOVING_SAMPLER).ask(probes, tick)
    return transcripts, requests + more


_MOVING_SAMPLER = Unmeasured(
    kind="failed", reason="the one sampler was put on other weights twice while it was measured: who else uses it?"
)


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
    blocked = await put_sampler_on(session.client, None)
    serving = Serving(None) if session.client.routes.one_sampler else None
    untouched = State(step=BASELINE_STEP, size="full", baseline=None, blocked=blocked, serving=serving)
    baseline, _ = await measure(session, adapter.lora_id, untouched)
    session.say("baseline", f"baseline measured ({cost_of(baseline)})", numbers=headline(baseline))
    return baseline


def cost_of(snapshot: EvalSnapshot) -> str:
    """What a snapshot cost: a full one is worth knowing before `snapshot_steps` asks for more of them."""
    took = "" if snapshot.duration_s is None else f", {snapshot.duration_s:.0f} s"
    return f"{snapshot.snapshot} snapshot: {snapshot.requests} requests{took}"


def headline(snapshot: EvalSnapshot) -> dict[str, float | None]:
    """The numbers worth showing while it runs."""
    margin, general, collapse = snapshot.logprob_margin, snapshot.general, snapshot.collapse
    numbers = {
        "compliance": snapshot.preference_compliance,
        "margin_nats": margin.margin if margin else None,
        "general": general.general_score if general else None,
        "entropy_ratio": collapse.entropy_ratio_to_baseline if collapse else None,
    }
    return {name: value for name, value in numbers.items() if value is not None}

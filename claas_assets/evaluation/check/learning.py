"""One feedback: it must change the adapter that it names, and nothing else."""

import asyncio
from dataclasses import dataclass

from claas_assets.evaluation.check.bench import SHORT_QUESTION, Bench
from claas_assets.evaluation.deployment.feedback_protocol import feedback_items, updates_applied
from claas_assets.evaluation.errors import DeploymentError, RequestRefused
from claas_assets.evaluation.training.sampler import put_sampler_on
from claas_assets.wire import FeedbackResponse

FEEDBACK = "Your name is Kuro, always introduce yourself as Kuro"
TAUGHT = "I am Kuro, your assistant."
_OTHER = "The capital of France is Paris."
_SAME = 0.005
"""Nats a token: what scoring one text twice may differ by."""


@dataclass(frozen=True)
class Weights:
    """Nats a token of two fixed texts, by whose weights answer."""

    trained: float
    bystander: float | None
    base: float | None


async def check_learning(bench: Bench) -> None:
    """Score, give one feedback, score again: on the adapter, on a second one and on the base model."""
    noise = abs(await _nats(bench, bench.trained) - await _nats(bench, bench.trained))
    before, counted_before = await _look(bench), await _counted(bench)
    response = await _give_feedback(bench)
    if response is None:
        return
    said = updates_applied(response)
    path = response.distill_result.metadata.get("sampler_weights_path") if response.distill_result else None
    after, counted = await _look(bench, trained_path=path if isinstance(path, str) else None), await _counted(bench)
    _say_generation(bench, response, said)
    limit = max(_SAME, 3 * noise)
    changed = abs(after.trained - before.trained) > limit
    moved = {
        name: abs(now - then) > limit
        for name, now, then in (
            ("a second adapter", after.bystander, before.bystander), ("the base model", after.base, before.base),
        )
        if now is not None and then is not None
    }  # fmt: skip
    _say_what_changed(bench, changed, moved, abs(after.trained - before.trained))
    _say_counter(bench, counted_before, counted, said, changed=changed)


async def _nats(bench: Bench, lora_id: str) -> float:
    scores = await asyncio.gather(
        bench.score(SHORT_QUESTION, TAUGHT, lora_id), bench.score("Name a capital.", _OTHER, lora_id)
    )
    return sum(score.logprob_sum for score in scores) / sum(score.completion_tokens for score in scores)


async def _look(bench: Bench, trained_path: str | None = None) -> Weights:
    """With one sampler, it is put on the base model, and then on the adapter (where it was trained: its path)."""
    client, base = bench.client, bench.config.base_model
    if not client.routes.engine.one_sampler:
        bystander, of_base = await _nats(bench, bench.bystander), await _base_nats(bench, base)
        return Weights(await _nats(bench, bench.trained), bystander, of_base)
    if await put_sampler_on(client, None) is not None:
        return Weights(await _nats(bench, bench.trained), None, None)
    of_base = await _nats(bench, bench.trained)
    if trained_path is None:
        return Weights(of_base, None, of_base)
    await put_sampler_on(client, trained_path)
    return Weights(await _nats(bench, bench.trained), None, of_base)


async def _base_nats(bench: Bench, base: str) -> float | None:
    """None where the base model does not answer to its own name."""
    try:
        return await _nats(bench, base)
    except RequestRefused:
        return None


async def _counted(bench: Bench) -> int | None:
    status = await bench.client.adapter_status(bench.trained)
    return None if status is None else status.updates


async def _give_feedback(bench: Bench) -> FeedbackResponse | None:
    """None where it failed, which is said."""
    config = bench.config
    answer = await bench.chat(
        SHORT_QUESTION,
        max_tokens=min(64, config.rollout_max_tokens),
        temperature=config.rollout_temperature,
        logprobs=True,
    )
    items = feedback_items(
        [(SHORT_QUESTION, answer.text)],
        lora_id=bench.trained,
        feedback=FEEDBACK,
        training=config.training,
        takes_repetitions=None,
    )
    try:
        return await bench.timed("feedback", bench.client.feedback(items))
    except RequestRefused as error:
        todo = "An answer is forgotten after 100 others: who else uses this deployment?" if error.status == 404 else ""
        bench.report.blocks("feedback", f"refused: {error}", todo)
    except DeploymentError as error:
        bench.report.blocks("feedback", f"failed: {error}", "Look at the deployment's log")
    return None


def _say_generation(bench: Bench, response: FeedbackResponse, said: int) -> None:
    metadata = response.distill_result.metadata if response.distill_result else {}
    asked, took = bench.config.training.steps_per_batch, bench.took("feedback") or 0.0
    if "steps_per_batch_applied" in metadata:
        bench.report.ok("generation", f"the newer one: {said} updates in one call, {took:.1f} s")
    else:
        bench.report.ok("generation", f"the older one: an update a call ({took:.1f} s), so {asked} calls a step")


def _say_what_changed(bench: Bench, changed: bool, moved: dict[str, bool], by: float) -> None:
    others = [name for name, has in moved.items() if has]
    name, report = "feedback changes this adapter alone", bench.report
    if changed and not others:
        seen = " and ".join(moved) or "nothing else that could be asked"
        report.ok(name, f"its scores changed by {by:.3f} nats a token, and not those of {seen}")
    elif changed and len(others) == len(moved) > 1:
        todo = "Evaluate with mode=tinker if this is its server; else names mean nothing here, and a baseline is of "
        report.blocks(name, "every name answers with the same weights: one shared sampler", f"{todo}trained weights")
    elif changed:
        report.blocks(name, f"it changed {' and '.join(others)} too", "Nothing can be measured on such weights")
    elif others:
        report.blocks(
            name, f"it changed {' and '.join(others)} and not the adapter that it named: the wrong one was trained",
            "Look at how the server finds an adapter by its id",
        )  # fmt: skip
    else:
        report.blocks(
            name,
            "it changed nothing: training does nothing, or the base model is served under the adapter's name",
            "Look whether the server loads an adapter again after training; on Tinker alpha must be above 0",
        )


def _say_counter(bench: Bench, before: int | None, after: int | None, said: int, *, changed: bool) -> None:
    if before is None or after is None:
        note = "the deployment does not count updates: after a broken connection nothing tells whether it trained"
        bench.report.note("update counter", note)
    elif after - before != said:
        lie = f"the counter moved by {after - before}, and the answer says {said} updates"
        bench.report.blocks("update counter", lie, "One of them lies: interrupted feedback could not be resolved")
    elif not changed:
        lie = f"the counter moved by {said}, and the served weights did not change"
        bench.report.blocks("update counter", lie, "What is served is not what is trained")
    else:
        bench.report.ok("update counter", f"moved by {said}, as the answer says")

"""One feedback call: the teacher once, then K gradient updates, each on disk before the next.

The loop is flat. What a rollout is and where its teacher's prompt comes from is decided by the
caller; here there are only token ids.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from claas_assets.stack.adapters import Adapter, AdapterStore
from claas_assets.stack.backend import Backend, packs
from claas_assets.stack.sdpo import Options, SequenceLoss, Targets, sequence_loss
from claas_assets.wire import TrainingOptions


class TrainingError(RuntimeError):
    """An update that could not be made; the adapter is as it was after the last one."""


@dataclass(frozen=True)
class Rollout:
    """A recorded answer with the two prompts it is judged under."""

    prompt_ids: list[int]
    teacher_prompt_ids: list[int]  # the prompt with the feedback as hindsight
    token_ids: list[int]  # as sampled, end of turn included
    logprobs: list[float]  # as recorded at sampling, nats

    @property
    def size(self) -> int:
        return max(len(self.prompt_ids), len(self.teacher_prompt_ids)) + len(self.token_ids)


@dataclass(frozen=True)
class TrainingReport:
    """`steps` holds one dict of numbers per update, in order."""

    steps: list[dict[str, float]]
    tokens: int  # completion tokens of the batch
    updates: int  # of the adapter since init
    teacher_ms: float
    update_ms: float


def train(
    backend: Backend, store: AdapterStore, lora_id: str, rollouts: Sequence[Rollout], options: TrainingOptions
) -> TrainingReport:
    """Make `options.steps_per_batch` updates of one adapter on one batch.

    Raises `TrainingError` where a loss or gradient is not finite; updates made before stay.
    """
    began = time.perf_counter()
    sizes = [rollout.size for rollout in rollouts]
    adapter = store.load(lora_id)
    with torch.no_grad():
        targets = [t for part in packs(sizes) for t in _targets(backend, rollouts[part])]
    taught = time.perf_counter()
    parameters, optimizer = _optimizer(adapter, options.learning_rate)
    pairs = list(zip(rollouts, targets, strict=True))
    steps = []
    for _ in range(options.steps_per_batch):
        numbers = _update(backend, adapter, pairs, parameters, optimizer, options)
        adapter = replace(
            adapter,
            info=replace(adapter.info, updates=adapter.info.updates + 1),
            moments=_moments(parameters, optimizer),
        )
        store.save(adapter)
        steps.append(numbers)
    return TrainingReport(
        steps=steps,
        tokens=sum(len(rollout.token_ids) for rollout in rollouts),
        updates=adapter.info.updates,
        teacher_ms=1e3 * (taught - began),
        update_ms=1e3 * (time.perf_counter() - taught),
    )


def _update(
    backend: Backend,
    adapter: Adapter,
    pairs: Sequence[tuple[Rollout, Targets]],
    parameters: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    options: TrainingOptions,
) -> dict[str, float]:
    """One gradient update over the whole batch; the adapter's tensors change in place."""
    loss_options = Options(options.alpha, options.is_clip, options.kl_reg_weight, options.teacher_top_k)
    optimizer.zero_grad()
    losses: list[SequenceLoss] = []
    for part in packs([rollout.size for rollout, _ in pairs]):
        chunk = pairs[part]
        lora = backend.bind(adapter.weights, adapter.info.scale)
        student = _completion_logits(backend, [r.prompt_ids for r, _ in chunk], [r for r, _ in chunk], lora)
        found = [
            sequence_loss(logits, target, loss_options) for logits, (_, target) in zip(student, chunk, strict=True)
        ]
        (torch.stack([loss.total for loss in found]).sum() / len(pairs)).backward()
        losses += found
    clip = options.max_grad_norm or float("inf")
    norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), clip))
    total = sum(loss.total.item() for loss in losses) / len(losses)
    if not (math.isfinite(norm) and math.isfinite(total)):
        raise TrainingError(f"update {adapter.info.updates + 1}: loss {total}, gradient norm {norm}")
    optimizer.step()
    return _numbers(losses, total, norm)


def _numbers(losses: Sequence[SequenceLoss], total: float, norm: float) -> dict[str, float]:
    count = len(losses)
    return {
        "distill_loss": sum(loss.distill for loss in losses) / count,
        "kl_reg": sum(loss.kl_reg for loss in losses) / count,
        "mean_is_ratio": sum(loss.is_ratio for loss in losses) / count,
        "clip_fraction": sum(loss.clipped for loss in losses) / count,
        "total_loss": total,
        "grad_norm": norm,
    }


def _targets(backend: Backend, rollouts: Sequence[Rollout]) -> list[Targets]:
    """The frozen side of some rollouts: teacher and drift reference, both without the adapter."""
    teacher = _completion_logits(backend, [r.teacher_prompt_ids for r in rollouts], rollouts, None)
    base = _completion_logits(backend, [r.prompt_ids for r in rollouts], rollouts, None)
    targets = []
    for rollout, teacher_logits, base_logits in zip(rollouts, teacher, base, strict=True):
        ids = torch.tensor(rollout.token_ids, device=teacher_logits.device)
        base_logprobs = torch.log_softmax(base_logits, dim=-1).gather(-1, ids[:, None]).squeeze(-1)
        old = torch.tensor(rollout.logprobs, device=ids.device)
        targets.append(Targets(ids, old, torch.log_softmax(teacher_logits, dim=-1), base_logprobs))
    return targets


def _completion_logits(
    backend: Backend, prompts: Sequence[list[int]], rollouts: Sequence[Rollout], lora: Any
) -> list[Tensor]:
    """Logits (T, V) that predict each rollout's tokens after its prompt."""
    sequences = [prompt + rollout.token_ids[:-1] for prompt, rollout in zip(prompts, rollouts, strict=True)]
    return backend.logits(sequences, [len(rollout.token_ids) for rollout in rollouts], lora)


def _optimizer(adapter: Adapter, learning_rate: float) -> tuple[dict[str, Tensor], torch.optim.AdamW]:
    """AdamW over the adapter's matrices, going on from its persisted moments."""
    parameters = {}
    for module, (a, b) in adapter.weights.items():
        parameters[f"{module}.A"], parameters[f"{module}.B"] = a.requires_grad_(), b.requires_grad_()
    optimizer = torch.optim.AdamW(parameters.values(), lr=learning_rate)
    if adapter.moments:
        for name, parameter in parameters.items():
            optimizer.state[parameter] = {
                "step": torch.tensor(float(adapter.info.updates)),
                "exp_avg": adapter.moments[f"{name}.mean"],
                "exp_avg_sq": adapter.moments[f"{name}.square"],
            }
    return parameters, optimizer


def _moments(parameters: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    moments = {}
    for name, parameter in parameters.items():
        state = optimizer.state[parameter]
        moments[f"{name}.mean"], moments[f"{name}.square"] = state["exp_avg"], state["exp_avg_sq"]
    return moments

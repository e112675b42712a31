"""The SDPO update as pure functions of logits.

Sources: Hübotter et al. 2026, arXiv:2601.20802; Kleine Buening et al. 2026, arXiv:2603.12273.
The student is the adapted model on the prompt; the teacher is the base model that also sees the
feedback. Both are compared on a support (the teacher's top k, the student's top k and the sampled
token) plus one tail bucket with the remaining mass, so that a token the student likes and the
teacher does not list still gets a gradient.

Axes: T completion tokens, V vocabulary, S support with its tail bucket. Logprobs in nats.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Options:
    """What the loss depends on: `TrainingOptions` without the optimizer's part."""

    alpha: float
    is_clip: float
    kl_reg_weight: float
    top_k: int


@dataclass(frozen=True)
class Targets:
    """The frozen side of one rollout, computed once per feedback call."""

    token_ids: Tensor  # (T,) the sampled tokens, end of turn included
    old_logprobs: Tensor  # (T,) recorded when they were sampled, at temperature 1
    teacher_logprobs: Tensor  # (T, V) base model, prompt with feedback
    base_logprobs: Tensor  # (T,) of the sampled tokens: base model, prompt without feedback


@dataclass(frozen=True)
class SequenceLoss:
    """Means over the tokens of one rollout; `total` carries the gradient."""

    total: Tensor
    distill: float  # w · D, nats
    kl_reg: float  # k3, nats
    is_ratio: float  # w, after the cap
    clipped: float  # share of tokens whose ratio was above the cap


def sequence_loss(student_logits: Tensor, targets: Targets, options: Options) -> SequenceLoss:
    """`(1/T) Σ_t [ w_t · D_α,t + λ · k3_t ]` for student logits (T, V)."""
    student = torch.log_softmax(student_logits, dim=-1)
    sampled = student.gather(-1, targets.token_ids[:, None]).squeeze(-1)
    log_s, log_t, weight = on_support(student, targets.teacher_logprobs, targets.token_ids, options.top_k)
    divergence = alpha_divergence(log_s, log_t, weight, options.alpha)
    ratio = importance_ratio(sampled, targets.old_logprobs)
    capped = ratio.clamp(max=options.is_clip)
    drift = k3(targets.base_logprobs, sampled)
    distill, kl_reg = (capped * divergence).mean(), drift.mean()
    return SequenceLoss(
        total=distill + options.kl_reg_weight * kl_reg,
        distill=distill.item(),
        kl_reg=kl_reg.item(),
        is_ratio=capped.mean().item(),
        clipped=(ratio > options.is_clip).float().mean().item(),
    )


def on_support(student: Tensor, teacher: Tensor, token_ids: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logprobs of both on the support and its tail, each (T, S), and which columns count (T, S).

    The union holds duplicates; all but the first of each get weight 0.
    """
    k = min(top_k, student.shape[-1])
    columns = [teacher.topk(k).indices, student.detach().topk(k).indices, token_ids[:, None]]
    support = torch.cat(columns, dim=-1).sort(dim=-1).values
    first = torch.ones_like(support, dtype=torch.bool)
    first[:, 1:] = support[:, 1:] != support[:, :-1]
    has_tail = first.sum(dim=-1, keepdim=True) < student.shape[-1]
    log_s = torch.cat([student.gather(-1, support), _tail(student, support, has_tail)], dim=-1)
    log_t = torch.cat([teacher.gather(-1, support), _tail(teacher, support, has_tail)], dim=-1)
    return log_s, log_t, torch.cat([first, has_tail], dim=-1).to(student.dtype)


def _tail(logprobs: Tensor, support: Tensor, has_tail: Tensor) -> Tensor:
    """Log of the mass outside the support (T, 1): summed, since 1 − Σ would lose small masses."""
    rest = logprobs.scatter(-1, support, float("-inf"))
    return torch.where(has_tail, rest, 0.0).logsumexp(dim=-1, keepdim=True)


def alpha_divergence(log_s: Tensor, log_t: Tensor, weight: Tensor, alpha: float) -> Tensor:
    """D_α (T,) in nats between student and teacher, both (T, S).

    `m = (1−α)s + ατ`, `D_α = (1−α)·KL(s‖m) + α·KL(τ‖m)`; the formula vanishes at both ends, so
    `D_0 = KL(τ‖s)` and `D_1 = KL(s‖τ)`.
    """
    if alpha == 0.0:
        return _kl(log_t, log_s, weight)
    if alpha == 1.0:
        return _kl(log_s, log_t, weight)
    log_m = torch.logaddexp(log_s + math.log1p(-alpha), log_t + math.log(alpha))
    return (1 - alpha) * _kl(log_s, log_m, weight) + alpha * _kl(log_t, log_m, weight)


def _kl(log_p: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
    """KL(p‖q) over the columns that count."""
    return (weight * log_p.exp() * (log_p - log_q)).sum(dim=-1)


def importance_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """`exp(clip(log s − log s_old, ±20))` (T,), no gradient."""
    return (logprobs.detach() - old_logprobs).clamp(-20.0, 20.0).exp()


def k3(base_logprobs: Tensor, logprobs: Tensor) -> Tensor:
    """Drift from the base model per token: `e^u − u − 1` with `u = log π_base − log s`."""
    u = base_logprobs - logprobs
    return u.exp() - u - 1

"""From logits to tokens: one row at a time decides for itself, whatever the others are.

Axes: R rows, V vocabulary. Logprobs are those of the raw distribution (temperature 1), in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampler:
    """How one request samples. `random` is its own, so that its draws are its own too."""

    temperature: float
    top_p: float
    top_logprobs: int
    random: torch.Generator

    @classmethod
    def make(cls, temperature: float, top_p: float, top_logprobs: int, seed: int | None) -> Sampler:
        random = torch.Generator()
        if seed is None:
            random.seed()
        else:
            random.manual_seed(seed % 2**63)
        return cls(temperature, top_p, top_logprobs, random)


@dataclass(frozen=True)
class Sampled:
    """One token with its logprob and the likeliest alternatives, likeliest first."""

    token_id: int
    logprob: float
    top: list[tuple[int, float]]


def sample(logits: Tensor, samplers: Sequence[Sampler]) -> list[Sampled]:
    """One token per row of logits (R, V).

    Row by row: a reduction over several rows may add up in another order than one over a single row.
    """
    return [_sample_row(row, sampler) for row, sampler in zip(logits, samplers, strict=True)]


def _sample_row(logits_V: Tensor, sampler: Sampler) -> Sampled:
    token = _draw(logits_V, sampler) if sampler.temperature > 0 else logits_V.argmax()
    normalizer = logits_V.logsumexp(dim=-1)
    logprob = (logits_V[token] - normalizer).item()
    return Sampled(int(token), logprob, _top(logits_V, normalizer, sampler.top_logprobs))


def _draw(logits_V: Tensor, sampler: Sampler) -> Tensor:
    """Invert the cumulative distribution at one uniform draw; `top_p` keeps the likeliest tokens."""
    probabilities = torch.softmax(logits_V / sampler.temperature, dim=-1)
    order = None
    if sampler.top_p < 1:
        probabilities, order = _nucleus(probabilities, sampler.top_p)
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    point = torch.rand((), generator=sampler.random, dtype=torch.float64).to(cumulative.device)
    index = torch.searchsorted(cumulative, point * cumulative[-1], right=True)
    index = index.clamp(max=len(cumulative) - 1)
    return index if order is None else order[index]


def _nucleus(probabilities_V: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The fewest likeliest tokens that together reach `top_p`: probabilities and token ids."""
    for size in (256, 4096, len(probabilities_V)):  # a nucleus is small: sorting everything is slow
        kept, ids = probabilities_V.topk(min(size, len(probabilities_V)))
        before = kept.cumsum(dim=-1, dtype=torch.float64) - kept
        inside = int((before < top_p).sum())
        if inside < len(kept):
            break
    return kept[:inside], ids[:inside]


def _top(logits_V: Tensor, normalizer: Tensor, count: int) -> list[tuple[int, float]]:
    if count == 0:
        return []
    values, indices = logits_V.topk(min(count, len(logits_V)))
    return list(zip(indices.tolist(), (values - normalizer).tolist(), strict=True))

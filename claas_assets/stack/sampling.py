"""From logits to tokens, for all rows at once; a row's token does not depend on the others.

A vocabulary is looked at in blocks of 256: a draw finds its block by the blocks' sums and its token
within the block, the likeliest tokens are sought in the blocks with the highest maxima.

Axes: R rows, V vocabulary, N blocks. Logprobs are those of the raw distribution (temperature 1), in nats.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 256


@dataclass(frozen=True)
class Sampler:
    """How one request samples."""

    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    """Draw from the fewest likeliest tokens that together reach this mass, in (0, 1]."""
    top_logprobs: int
    """How many of the likeliest tokens are told with each token."""
    random: random.Random
    """The request's own, so that its draws are its own too."""

    @classmethod
    def make(cls, temperature: float, top_p: float, top_logprobs: int, seed: int | None) -> Sampler:
        return cls(temperature, top_p, top_logprobs, random.Random(seed))


@dataclass(frozen=True)
class Sampled:
    """One token with its logprob and the likeliest alternatives, likeliest first."""

    token_id: int
    logprob: float
    top: list[tuple[int, float]]


def sample(logits: Tensor, samplers: Sequence[Sampler]) -> list[Sampled]:
    """One token per row of logits (R, V)."""
    tokens = torch.empty(len(samplers), dtype=torch.long, device=logits.device)
    for draw in (_likeliest, _draw, _draw_from_nuclei):
        rows = [row for row, sampler in enumerate(samplers) if _way_of(sampler) is draw]
        if rows:
            tokens[rows] = draw(_rows(logits, rows), [samplers[row] for row in rows])
    # In blocks: over a whole vocabulary a single row's sum is split among threads, that of many rows is not.
    normalizers = _blocks(logits, float("-inf")).logsumexp(dim=-1).logsumexp(dim=-1)
    logprobs = logits.gather(-1, tokens[:, None]).squeeze(-1) - normalizers
    tops = _tops(logits, normalizers, samplers)
    pairs = zip(tokens.tolist(), logprobs.tolist(), strict=True)
    return [Sampled(token, logprob, tops.get(row, [])) for row, (token, logprob) in enumerate(pairs)]


def _way_of(sampler: Sampler) -> Callable[[Tensor, Sequence[Sampler]], Tensor]:
    """The function that chooses the tokens of such requests."""
    if sampler.temperature == 0:
        return _likeliest
    return _draw if sampler.top_p == 1 else _draw_from_nuclei


def _rows(values: Tensor, rows: list[int]) -> Tensor:
    """Some rows; no copy of all."""
    return values if len(rows) == len(values) else values[rows]


def _blocks(values: Tensor, fill: float) -> Tensor:
    """(R, V) as (R, N, BLOCK), the last block filled up."""
    missing = -values.shape[-1] % BLOCK
    padded = F.pad(values, (0, missing), value=fill) if missing else values
    return padded.view(len(values), -1, BLOCK)


def _pick(blocks: Tensor, index: Tensor) -> Tensor:
    """One block of each row: (R, N, BLOCK) at index (R,) → (R, BLOCK)."""
    return blocks[torch.arange(len(blocks), device=blocks.device), index]


def _likeliest(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """The first of the highest logits of each row (R,)."""
    blocks = _blocks(logits, float("-inf"))
    block = blocks.amax(dim=-1).argmax(dim=-1)
    return block * BLOCK + _pick(blocks, block).argmax(dim=-1)


def _draw(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Invert each row's cumulative distribution at one uniform draw (R,)."""
    blocks = _blocks(torch.softmax(_tempered(logits, samplers), dim=-1), 0.0)
    sums = blocks.sum(dim=-1).double()
    block, rest = _invert(sums, torch.tensor([s.random.random() for s in samplers], dtype=torch.float64))
    within, _ = _invert(_pick(blocks, block).double(), rest)
    return block * BLOCK + within


def _invert(weights: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulative sum of weights (R, n) float64 passes `shares` (R,) of it, in [0, 1): index and
    the share of the weight found there that lies before the point."""
    cumulative = weights.cumsum(dim=-1)
    point = shares.to(weights.device)[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, point, right=True).clamp(max=weights.shape[-1] - 1)
    found = weights.gather(-1, index)
    before = cumulative.gather(-1, index) - found
    return index.squeeze(-1), ((point - before) / found).clamp(0.0, 1.0 - 1e-12).squeeze(-1)


def _tempered(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    temperatures = [sampler.temperature for sampler in samplers]
    if all(temperature == 1 for temperature in temperatures):
        return logits
    return logits / torch.tensor(temperatures, dtype=logits.dtype, device=logits.device)[:, None]


def _draw_from_nuclei(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """As `_draw`, each row from its own nucleus (R,)."""
    probabilities = torch.softmax(_tempered(logits, samplers), dim=-1)
    tokens = []
    for row, sampler in zip(probabilities, samplers, strict=True):
        kept, ids = _nucleus(row, sampler.top_p)
        share = torch.tensor([sampler.random.random()], dtype=torch.float64)
        tokens.append(ids[_invert(kept.double()[None], share)[0]])
    return torch.cat(tokens)


def _nucleus(probabilities_V: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The fewest likeliest tokens that together reach `top_p`: probabilities and token ids."""
    for size in (256, 4096, len(probabilities_V)):  # a nucleus is small: sorting everything is slow
        kept, ids = probabilities_V.topk(min(size, len(probabilities_V)))
        before = kept.cumsum(dim=-1, dtype=torch.float64) - kept
        inside = int((before < top_p).sum())
        if inside < len(kept):
            break
    return kept[:inside], ids[:inside]


def _tops(logits: Tensor, normalizers: Tensor, samplers: Sequence[Sampler]) -> dict[int, list[tuple[int, float]]]:
    """The likeliest tokens of the rows that ask for them, by row."""
    tops = {}
    for count in {sampler.top_logprobs for sampler in samplers} - {0}:
        rows = [row for row, sampler in enumerate(samplers) if sampler.top_logprobs == count]
        values, ids = _top(_rows(logits, rows), count)
        logprobs = values - _rows(normalizers, rows)[:, None]
        for row, *pair in zip(rows, ids.tolist(), logprobs.tolist(), strict=True):
            tops[row] = list(zip(*pair, strict=True))
    return tops


def _top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest logits and their token ids, each (R, count), highest first."""
    count = min(count, logits.shape[-1])
    blocks = _blocks(logits, float("-inf"))
    best = blocks.amax(dim=-1).topk(min(count, blocks.shape[1])).indices  # the highest are in these blocks
    chosen = blocks.gather(1, best[..., None].expand(-1, -1, BLOCK))
    values, at = chosen.flatten(1).topk(count)
    return values, best.gather(1, at // BLOCK) * BLOCK + at % BLOCK

"""Measured when a model is loaded: which batches give the same bits as each request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from claas_assets.stack.llama.backend import LlamaBackend

ROW_COUNTS = (4, 8, 12, 16, 20, 24, 28, 32)


@torch.no_grad()
def agreeing_row_counts(backend: LlamaBackend) -> tuple[int, ...]:
    """The numbers of rows for which a row's logits are the same bits as in the largest batch.

    Found by running steps. Where small batches use other kernels (float32: below four rows),
    a batch is padded up to the next number of rows that agrees.
    """
    reference = _trial_step(backend, ROW_COUNTS[-1])
    agreeing = [ROW_COUNTS[-1]]
    for count in reversed(ROW_COUNTS[:-1]):
        if not torch.equal(_trial_step(backend, count), reference[: count - 1]):
            break
        agreeing.append(count)
    return tuple(reversed(agreeing))


def _trial_step(backend: LlamaBackend, count: int) -> Tensor:
    """Logits (count - 1, V) of a step over fixed sequences; the last has a pool of its own."""
    tokens = torch.randint(0, backend.vocab_size, (backend.max_rows, 2), generator=torch.Generator().manual_seed(0))
    places = [backend.cache.open(40) for _ in range(count - 1)] + [backend.cache.open(100)]
    for place, token in zip(places, tokens, strict=False):
        random = torch.Generator().manual_seed(int(token[1]))
        pattern = torch.randn(backend.cache.kv_heads, 40, backend.cache.head_dim, generator=random)
        for tensor in (*place.pool.keys, *place.pool.values):
            tensor[place.row, :, :40] = pattern.to(backend.cache.dtype)
    logits = backend.step(places, tokens[:count, 0].tolist(), None)
    for place in reversed(places):
        backend.finish(place)
    return logits[:-1]


@torch.no_grad()
def packing_agrees(backend: LlamaBackend) -> bool:
    """Whether prompts read together give the same bits as each alone."""
    random = torch.Generator().manual_seed(0)
    lengths = (1, 3, 18, 33, 61, 130)
    prompts = [torch.randint(0, backend.vocab_size, (n,), generator=random).tolist() for n in lengths]
    together = backend.start(prompts, None)
    alone = [backend.start([prompt], None)[0] for prompt in prompts]
    for place, _ in (*together, *alone):
        backend.finish(place)
    return all(torch.equal(a[1], b[1]) for a, b in zip(together, alone, strict=True))

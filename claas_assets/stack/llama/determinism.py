"""Measured when a model is loaded: which batches give the same bits as each request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from claas_assets.stack.backend import float32_precision

if TYPE_CHECKING:
    from claas_assets.stack.llama.backend import LlamaBackend

ROW_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32)
PAST = 40  # tokens in the cache of a measured row


@torch.inference_mode()
def agreeing_row_counts(backend: LlamaBackend) -> tuple[int, ...]:
    """The numbers of rows for which a row's logits are the same bits as in the largest batch.

    Found by running steps. Where small batches use other kernels, a batch is padded up to the next number of rows
    that agrees.
    """
    reference = _trial_step(backend, ROW_COUNTS[-1], PAST)
    agreeing = [ROW_COUNTS[-1]]
    for count in reversed(ROW_COUNTS[:-1]):
        logits = _trial_step(backend, count, PAST)
        if not torch.equal(logits, reference[: len(logits)]):
            break
        agreeing.append(count)
    return tuple(reversed(agreeing))


@torch.inference_mode()
def lengths_agree(backend: LlamaBackend) -> bool:
    """Whether a row's logits are the same bits however long another row is."""
    count = ROW_COUNTS[-1]
    longest = min(600, len(backend.decoder.turns) - 1)  # more than one block of the kernel's
    return torch.equal(_trial_step(backend, count, PAST), _trial_step(backend, count, longest))


def _trial_step(backend: LlamaBackend, count: int, longest: int) -> Tensor:
    """Logits of a step over fixed sequences: of all but the last, which is `longest` tokens long; of one alone."""
    tokens = torch.randint(0, backend.vocab_size, (backend.max_rows,), generator=torch.Generator().manual_seed(0))
    cache = backend.cache
    measured = max(1, count - 1)
    places = [cache.open(PAST) for _ in range(measured)] + [cache.open(longest) for _ in range(count - measured)]
    for place in places:
        random = torch.Generator().manual_seed(place.row)
        past = torch.randn(PAST, 2 * cache.heads, backend.decoder.head_dim, generator=random)
        for layer in range(len(cache.layers)):
            cache.fill(layer, place, past.to(cache.layers[layer].dtype))
    logits = backend.step(places, tokens[:count].tolist(), None)
    for place in reversed(places):
        backend.finish(place)
    return logits[:measured]


@torch.inference_mode()
def packing_agrees(backend: LlamaBackend) -> bool:
    """Whether prompts read together give the same bits as each alone."""
    prompts = _trial_prompts(backend.vocab_size)
    _, together = backend.start(prompts, None)
    alone = torch.cat([backend.start([prompt], None)[1] for prompt in prompts])
    backend.cache.members.clear()
    return torch.equal(together, alone)


@torch.inference_mode()
def scores_pack(backend: LlamaBackend) -> bool:
    """Whether sequences scored together give the same bits as each alone.

    A question of its own: scores have another type than what is generated, and so other kernels.
    """
    sequences = _trial_prompts(backend.vocab_size)[1::2]  # each pass may convert all weights: a second's worth in all
    keeps = [(len(ids) + 1) // 2 for ids in sequences]
    lora = None if backend.score_dtype == backend.dtype else backend.bind_for_scores(None, 0.0)
    with float32_precision():
        together = backend.logits(sequences, keeps, lora)
        alone = [backend.logits([ids], [keep], lora)[0] for ids, keep in zip(sequences, keeps, strict=True)]
    return all(map(torch.equal, together, alone))


def _trial_prompts(vocab_size: int) -> list[list[int]]:
    random = torch.Generator().manual_seed(0)
    return [torch.randint(0, vocab_size, (n,), generator=random).tolist() for n in (1, 3, 18, 33, 61, 130)]

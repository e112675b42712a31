"""Llama-shaped models: the same numbers however requests are batched.

One set of weights serves, scores and trains, so that a rollout's recorded logprobs and the
student's logprobs at training time come from the same arithmetic.

A prompt is computed alone (its shapes depend on the prompt only), and in a decoding step each row
attends over a cache whose padded length is a function of that row's own length. What remains are
matrix products over several rows; `determinism` measures which numbers of rows agree, and only
those are used. R are rows (sequences of a step).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claas_assets.stack.backend import Weights
from claas_assets.stack.llama.cache import KeyValueCache, Place, Pool
from claas_assets.stack.llama.determinism import ROW_COUNTS, agreeing_row_counts, packing_agrees
from claas_assets.stack.llama.forward import FEWEST_ROWS, Attend, Decoder, Lora

OnCache = Callable[[int, int, Tensor, Tensor], None]  # (layer, number of the sequence, k, v)


class LlamaBackend:
    """Implements `Backend` for Llama and Qwen2 shapes. Not thread-safe: one thread uses it."""

    max_rows = ROW_COUNTS[-1]

    def __init__(self, model: Any) -> None:
        self.decoder = Decoder(model)
        self.vocab_size: int = self.decoder.vocab_size
        self.device = self.decoder.device
        self.heads, self.kv_heads, self.head_dim = self.decoder.heads, self.decoder.kv_heads, self.decoder.head_dim
        self.cache = KeyValueCache(len(self.decoder.layers), self.kv_heads, self.head_dim, self.decoder.embedding)
        self.row_counts: tuple[int, ...] = ROW_COUNTS
        self.row_counts = agreeing_row_counts(self)
        self.packs = True
        self.packs = packing_agrees(self)
        self.cache.pools.clear()
        self.determinism = (
            f"{self.decoder.dtype}, row counts {self.row_counts[0]}..{self.row_counts[-1]} measured to agree, "
            + ("prompts read together measured to agree" if self.packs else "prompts read one at a time")
        ).replace("torch.", "")

    def bind(self, weights: Weights, scale: float) -> Lora:
        return self.decoder.bind(weights, scale)

    # --- whole sequences -----------------------------------------------------------------

    def logits(self, sequences: Sequence[Sequence[int]], keeps: Sequence[int], lora: Lora | None) -> list[Tensor]:
        """For each sequence the logits (keep, V) float32 of its last `keep` positions.

        Gradients reach the adapter's weights.
        """
        if len(sequences) > 1 and not self.packs:
            return [self.logits([s], [k], lora)[0] for s, k in zip(sequences, keeps, strict=True)]
        hidden, ends = self._read(sequences, lora, _ignore)
        kept = torch.cat([hidden[end - keep : end] for end, keep in zip(ends, keeps, strict=True)])
        return list(self.decoder.logits(kept).split(list(keeps)))

    def start(self, prompts: Sequence[Sequence[int]], lora: Lora | None) -> list[tuple[Place, Tensor]]:
        """Read prompts; for each its place and the next token's logits (V,)."""
        if len(prompts) > 1 and not self.packs:
            return [self.start([prompt], lora)[0] for prompt in prompts]
        places = [self.cache.open(len(prompt)) for prompt in prompts]

        def keep(index: int, number: int, k: Tensor, v: Tensor) -> None:
            place = places[number]
            place.pool.keys[index][place.row, :, : len(k)] = k.transpose(0, 1)
            place.pool.values[index][place.row, :, : len(v)] = v.transpose(0, 1)

        hidden, ends = self._read(prompts, lora, keep)
        last = torch.tensor(ends, device=self.device) - 1
        return list(zip(places, self.decoder.logits(hidden[last]), strict=True))

    def _read(
        self, sequences: Sequence[Sequence[int]], lora: Lora | None, on_cache: OnCache
    ) -> tuple[Tensor, list[int]]:
        """Hidden states (rows, H) of sequences laid end to end, and where each ends.

        The weights are read once for all of them; attention sees one sequence at a time.
        """
        ends = list(itertools.accumulate(map(len, sequences)))
        spans = list(zip([0, *ends], ends, strict=False))
        padding = max(0, FEWEST_ROWS - ends[-1])

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = []
            for number, (begin, end) in enumerate(spans):
                on_cache(index, number, k[begin:end], v[begin:end])
                out.append(_causal(q[begin:end], k[begin:end], v[begin:end]))
            return torch.cat([*out, v.new_zeros(padding, self.heads * self.head_dim)])

        tokens = [token for sequence in sequences for token in sequence]
        at = [position for sequence in sequences for position in range(len(sequence))]
        ids = torch.tensor(tokens + [0] * padding, device=self.device)
        positions = torch.tensor(at + [0] * padding, device=self.device)
        return self.decoder.hidden(self.decoder.embedding[ids], positions, lora, attend), ends

    # --- one token for each of several sequences -------------------------------------------

    def step(self, sequences: Sequence[Place], tokens: Sequence[int], lora: Lora | None) -> Tensor:
        """Feed one token to each sequence; returns the next token's logits (R, V) float32."""
        for sequence in sequences:
            self.cache.make_room(sequence)
        token_of = {id(s): t for s, t in zip(sequences, tokens, strict=True)}
        pools = [pool for pool in self.cache.pools.values() if pool.members]
        order = [sequence for pool in pools for sequence in pool.members]
        if len(order) != len(sequences):
            raise RuntimeError("a step must feed every sequence that was started and not finished")
        rows = next(count for count in self.row_counts if count >= len(order))
        padding = [0] * (rows - len(order))
        ids = torch.tensor([token_of[id(s)] for s in order] + padding, device=self.device)
        positions = torch.tensor([s.length for s in order] + padding, device=self.device)
        attend = self._attend_pools(pools, positions)
        hidden = self.decoder.hidden(self.decoder.embedding[ids], positions, lora, attend)
        for sequence in order:
            sequence.length += 1
        row_of = {id(s): row for row, s in enumerate(order)}
        return self.decoder.logits(hidden)[[row_of[id(s)] for s in sequences]]

    def finish(self, sequence: Place) -> None:
        self.cache.close(sequence)

    def _attend_pools(self, pools: list[Pool], positions: Tensor) -> Attend:
        """Attention of one step: each pool's rows over that pool's padded length."""
        parts = []
        begin = 0
        for pool in pools:
            count = len(pool.members)
            at = positions[begin : begin + count]
            visible = torch.arange(pool.padded, device=self.device) <= at[:, None]
            mask = torch.zeros(count, 1, 1, pool.padded, device=self.device)
            mask.masked_fill_(~visible[:, None, None], float("-inf"))
            mask = mask.expand(count, self.kv_heads, 1, pool.padded).reshape(-1, 1, pool.padded)
            parts.append((pool, begin, count, at, torch.arange(count, device=self.device), mask))
            begin += count
        group, scale = self.heads // self.kv_heads, self.head_dim**-0.5

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = torch.zeros(len(q), self.heads * self.head_dim, dtype=q.dtype, device=self.device)
            for pool, begin, count, at, rows, mask in parts:
                keys, values = pool.keys[index], pool.values[index]
                keys[rows, :, at] = k[begin : begin + count]
                values[rows, :, at] = v[begin : begin + count]
                keys = keys[:count].view(count * self.kv_heads, pool.padded, self.head_dim)
                values = values[:count].view(count * self.kv_heads, pool.padded, self.head_dim)
                queries = q[begin : begin + count].reshape(count * self.kv_heads, group, self.head_dim)
                scores = torch.bmm(queries, keys.transpose(1, 2)).float() * scale + mask
                weights = torch.softmax(scores, dim=-1).to(q.dtype)
                out[begin : begin + count] = torch.bmm(weights, values).view(count, -1)
            return out

        return attend


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of one whole sequence: q (T, heads, D), k and v (T, kv, D) → (T, heads D)."""
    group = q.shape[1] // k.shape[1]
    k, v = (t.transpose(0, 1).repeat_interleave(group, dim=0)[None] for t in (k, v))
    out = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k, v, is_causal=True)
    return out[0].transpose(0, 1).reshape(len(q), -1)


def _ignore(index: int, number: int, k: Tensor, v: Tensor) -> None:
    """Keep no keys and values."""

"""Llama-shaped models: the same numbers however requests are batched.

One set of weights serves, scores and trains, so that a rollout's recorded logprobs and the
student's logprobs at training time come from the same arithmetic.

Prompts attend to themselves alone, and in a decoding step each row attends to its own row of the
cache. What remains are matrix products over several rows and the length over which a step attends:
`determinism` measures which numbers of rows agree, and whether the length matters. R are rows
(sequences of a step).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claas_assets.stack.backend import Weights
from claas_assets.stack.llama.cache import KeyValueCache, Place, blocks_of
from claas_assets.stack.llama.determinism import (
    ROW_COUNTS,
    agreeing_row_counts,
    lengths_agree,
    packing_agrees,
    scores_pack,
)
from claas_assets.stack.llama.forward import FEWEST_ROWS, Attend, Decoder, Exact, Lora

OnCache = Callable[[int, int, Tensor], None]  # (layer, number of the sequence, keys and values)


class LlamaBackend:
    """Implements `Backend` for Llama and Qwen2 shapes. Not thread-safe: one thread uses it."""

    max_rows = ROW_COUNTS[-1]
    score_dtype = torch.float32

    def __init__(self, model: Any) -> None:
        self.decoder = Decoder(model)
        self.vocab_size: int = self.decoder.vocab_size
        self.dtype = self.decoder.dtype
        self.kv_heads = self.decoder.kv_heads
        like = self.decoder.embedding
        self.cache = KeyValueCache(len(self.decoder.layers), self.kv_heads, self.decoder.head_dim, like)
        self.row_counts: tuple[int, ...] = ROW_COUNTS
        self.attends_together = True
        self.attends_together = lengths_agree(self)
        self.row_counts = agreeing_row_counts(self)
        self.packs = True
        self.packs = packing_agrees(self)
        self.cache.clear()
        self.scores_pack = True
        self.scores_pack = scores_pack(self)
        self.determinism = (
            f"{self.dtype}, row counts {self.row_counts[0]}..{self.row_counts[-1]} measured to agree, "
            f"prompts {_read(self.packs)}, {self.score_dtype} scores {_read(self.scores_pack)}"
        ).replace("torch.", "")

    def bind(self, weights: Weights, scale: float) -> Lora:
        return self.decoder.bind(weights, scale)

    def bind_for_scores(self, weights: Weights | None, scale: float) -> Exact:
        return Exact(self.decoder, weights or {}, scale)

    # --- whole sequences -----------------------------------------------------------------

    def logits(
        self, sequences: Sequence[Sequence[int]], keeps: Sequence[int], lora: Lora | Exact | None
    ) -> list[Tensor]:
        """For each sequence the logits (keep, V) float32 of its last `keep` positions.

        Gradients reach the adapter's weights.
        """
        scored = isinstance(lora, Exact) or self.score_dtype == self.dtype
        packs = self.scores_pack if scored else self.packs
        if len(sequences) > 1 and not packs:
            return [self.logits([s], [k], lora)[0] for s, k in zip(sequences, keeps, strict=True)]
        hidden, ends = self._read(sequences, lora, _ignore)
        kept = torch.cat([hidden[end - keep : end] for end, keep in zip(ends, keeps, strict=True)])
        return list(self.decoder.logits(kept).split(list(keeps)))

    def start(self, prompts: Sequence[Sequence[int]], lora: Lora | None) -> tuple[list[Place], Tensor]:
        """Read prompts: their places, and the next token's logits (R, V)."""
        if len(prompts) > 1 and not self.packs:
            alone = [self.start([prompt], lora) for prompt in prompts]
            return [place for places, _ in alone for place in places], torch.cat([logits for _, logits in alone])
        places = [self.cache.open(len(prompt)) for prompt in prompts]

        def keep(layer: int, number: int, kv: Tensor) -> None:
            self.cache.fill(layer, places[number], kv)

        hidden, ends = self._read(prompts, lora, keep)
        return places, self.decoder.logits(hidden[[end - 1 for end in ends]])

    def _read(
        self, sequences: Sequence[Sequence[int]], lora: Lora | Exact | None, on_cache: OnCache
    ) -> tuple[Tensor, list[int]]:
        """Hidden states (rows, H) of sequences laid end to end, and where each ends.

        The weights are read once for all of them; attention sees one sequence at a time.
        """
        ends = list(itertools.accumulate(map(len, sequences)))
        spans = list(zip([0, *ends], ends, strict=False))
        padding = max(0, FEWEST_ROWS - ends[-1])

        def attend(layer: int, q: Tensor, kv: Tensor) -> Tensor:
            out = []
            for number, (begin, end) in enumerate(spans):
                on_cache(layer, number, kv[begin:end])
                out.append(_causal(q[begin:end], kv[begin:end]))
            if padding:
                out.append(kv.new_zeros(padding, out[0].shape[1]))
            return torch.cat(out)

        tokens = [token for sequence in sequences for token in sequence] + [0] * padding
        at = [position for sequence in sequences for position in range(len(sequence))] + [0] * padding
        return self.decoder.hidden(self._ids(tokens), self._ids(at), lora, attend), ends

    # --- one token for each of several sequences -------------------------------------------

    def step(self, places: Sequence[Place], tokens: Sequence[int], lora: Lora | None) -> Tensor:
        """Feed one token to each open sequence; returns the next token's logits (R, V) float32."""
        members = self.cache.members
        if len(members) != len(places):
            raise RuntimeError("a step must feed every sequence that was started and not finished")
        rows = next(count for count in self.row_counts if count >= len(places))
        fed, at = [0] * rows, [0] * rows
        for place, token in zip(places, tokens, strict=True):
            fed[place.row], at[place.row] = token, place.length
        attend = self._attend_rows(rows, at)
        hidden = self.decoder.hidden(self._ids(fed), self._ids(at), lora, attend)
        for place in places:
            place.length += 1
        return self.decoder.logits(hidden[[place.row for place in places]])

    def finish(self, place: Place) -> None:
        self.cache.close(place)

    def _attend_rows(self, rows: int, at: Sequence[int]) -> Attend:
        """Attention of one step: each row to its own past, rows of padding to what happens to lie there.

        As batched products over rows and key heads, with the queries that share a key head as the
        rows of one product: the fused kernel gives other bits on its second thread.
        """
        used = len(self.cache.members)
        groups = [slice(0, rows)] if self.attends_together else [slice(row, row + 1) for row in range(rows)]
        slots = self.cache.next_slots(rows)
        masks = [self._past_mask(at[group]) for group in groups]
        flat, scale = self.cache.flat, self.decoder.head_dim**-0.5
        shape = (rows, self.kv_heads, -1, self.decoder.head_dim)

        def attend(layer: int, q: Tensor, kv: Tensor) -> Tensor:
            flat[layer].index_copy_(0, slots, kv[:used].reshape(-1, kv.shape[-1]))
            queries, out = (q * scale).reshape(shape), []
            for group, mask in zip(groups, masks, strict=True):
                keys, values = self.cache.past(layer, group, mask.shape[-1])
                scores = torch.bmm(queries[group].flatten(0, 1), keys.transpose(1, 2))
                seen = scores.unflatten(0, (-1, self.kv_heads)) + mask
                out.append(torch.bmm(seen.softmax(-1).flatten(0, 1), values).view(mask.shape[0], -1))
            return torch.cat(out) if len(out) > 1 else out[0]

        return attend

    def _past_mask(self, at: Sequence[int]) -> Tensor:
        """What rows whose next token is at `at` do not see, -inf: (R, 1, 1, L)."""
        length = blocks_of(max(at) + 1)
        unseen = torch.arange(length, device=self.decoder.device) > self._ids(at)[:, None]
        mask = torch.zeros(len(at), length, dtype=self.decoder.dtype, device=self.decoder.device)
        return mask.masked_fill_(unseen, float("-inf"))[:, None, None]

    def _ids(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=self.decoder.device)


def _read(together: bool) -> str:
    return "read together measured to agree" if together else "read one at a time"


def _causal(q: Tensor, kv: Tensor) -> Tensor:
    """Causal attention of one whole sequence: q (T, heads, D), kv (T, 2 kv, D) → (T, heads D)."""
    k, v = kv.transpose(0, 1).repeat_interleave(2 * q.shape[1] // kv.shape[1], dim=0)[None].chunk(2, dim=1)
    out = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k, v, is_causal=True)
    return out[0].transpose(0, 1).reshape(len(q), -1)


def _ignore(layer: int, number: int, kv: Tensor) -> None:
    """Keep no keys and values."""

"""A lean forward pass for Llama-shaped models: the same numbers however requests are batched.

One set of weights serves, scores and trains, so that a rollout's recorded logprobs and the
student's logprobs at training time come from the same arithmetic.

Why results do not depend on the batch: a prompt is computed alone (its shapes depend on the
prompt only), and in a decoding step each row attends over a cache whose padded length is a
function of that row's own length. What remains are matrix products over several rows; whether
those give the same bits for every number of rows is measured when the model is loaded
(`row_counts`), and only numbers of rows that agree are used.

Names carry axes: T tokens, R rows (sequences of a step), H hidden size, V vocabulary,
L padded length, D head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claas_assets.stack.backend import Weights, linear_shape

STATIC_ROPES = {"default", "linear", "llama3", "yarn"}
LENGTHS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
# Below four rows the libraries switch to matrix-vector kernels, which add up in another order.
ROW_COUNTS = (4, 8, 12, 16, 20, 24, 28, 32)

Delta = tuple[Tensor, Tensor]
Lora = list[dict[str, Delta]]  # a layer: fused projection → (A, B with its scale)
FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (layer, q, k, v) → attended
OnCache = Callable[[int, int, Tensor, Tensor], None]  # (layer, number of the sequence, k, v)


def padded_length(length: int) -> int:
    """The cache length for a sequence of `length` tokens: a function of that length alone."""
    for padded in LENGTHS:
        if length <= padded:
            return padded
    return -(-length // 4096) * 4096


@dataclass
class Layer:
    """Weights of one decoder layer; projections that read the same input are fused."""

    norm_1: Tensor  # (H,)
    qkv: Tensor  # ((heads + 2 kv) D, H)
    qkv_bias: Tensor | None
    out: Tensor  # (H, heads D)
    norm_2: Tensor
    gate_up: Tensor  # (2 I, H)
    down: Tensor  # (H, I)
    shapes: dict[str, list[tuple[int, int]]]  # fused projection → (in, out) of its parts


@dataclass
class Place:
    """A sequence that is being generated: where its keys and values lie."""

    length: int  # tokens in the cache
    pool: Pool
    row: int


@dataclass
class Pool:
    """Keys and values of all sequences with one padded length, rows 0..len(members) in use."""

    padded: int
    keys: list[Tensor] = field(default_factory=list)  # a layer: (capacity, kv, L, D)
    values: list[Tensor] = field(default_factory=list)
    members: list[Place] = field(default_factory=list)


class LlamaBackend:
    """Implements `Backend` for Llama and Qwen2 shapes. Not thread-safe: one thread uses it."""

    max_rows = ROW_COUNTS[-1]

    def __init__(self, model: Any) -> None:
        config = model.config
        self.vocab_size: int = config.vocab_size
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps: float = config.rms_norm_eps
        self.embedding: Tensor = model.get_input_embeddings().weight.detach()
        self.final_norm: Tensor = model.model.norm.weight.detach()
        self.dtype = self.embedding.dtype
        self.device = self.embedding.device
        # Logits in float32: at bfloat16 the likeliest tokens would often tie.
        self.head: Tensor = model.get_output_embeddings().weight.detach().float()
        self.layers = [_fuse(layer) for layer in model.model.layers]
        self.cos, self.sin = self._rope_table(model, config.max_position_embeddings)
        self.pools: dict[int, Pool] = {}
        self.row_counts: tuple[int, ...] = ROW_COUNTS
        self.row_counts = self._measure_row_counts()
        self.packs = True
        self.packs = self._measure_packing()
        self.pools.clear()
        self.determinism = (
            f"{self.dtype}, row counts {self.row_counts[0]}..{self.row_counts[-1]} measured to agree, "
            + ("prompts read together measured to agree" if self.packs else "prompts read one at a time")
        ).replace("torch.", "")

    def bind(self, weights: Weights, scale: float) -> Lora:
        """The adapter fused like the weights: A matrices stacked, B matrices block-diagonal."""
        return [self._bind_layer(index, weights, scale) for index in range(len(self.layers))]

    def _bind_layer(self, index: int, weights: Weights, scale: float) -> dict[str, Delta]:
        bound = {}
        for fused, parts in FUSED.items():
            names = [f"model.layers.{index}.{part}" for part in parts]
            if not any(name in weights for name in names):
                continue
            a_parts, b_parts = [], []
            for name, shape in zip(names, self.layers[index].shapes[fused], strict=True):
                a, b = weights.get(name, (None, None))
                a_parts.append(a if a is not None else torch.zeros(0, shape[0]))
                b_parts.append(b * scale if b is not None else torch.zeros(shape[1], 0))
            stacked, diagonal = torch.cat(a_parts), torch.block_diag(*b_parts)
            bound[fused] = (stacked.to(self.device, self.dtype), diagonal.to(self.device, self.dtype))
        return bound

    # --- whole sequences -----------------------------------------------------------------

    def logits(self, sequences: Sequence[Sequence[int]], keeps: Sequence[int], lora: Lora | None) -> list[Tensor]:
        """For each sequence the logits (keep, V) float32 of its last `keep` positions.

        Gradients reach the adapter's weights.
        """
        if len(sequences) > 1 and not self.packs:
            return [self.logits([s], [k], lora)[0] for s, k in zip(sequences, keeps, strict=True)]
        hidden, ends = self._read(sequences, lora, _ignore)
        kept = torch.cat([hidden[end - keep : end] for end, keep in zip(ends, keeps, strict=True)])
        return list(self._head(kept).split(list(keeps)))

    def start(self, prompts: Sequence[Sequence[int]], lora: Lora | None) -> list[tuple[Place, Tensor]]:
        """Read prompts; for each its place and the next token's logits (V,)."""
        if len(prompts) > 1 and not self.packs:
            return [self.start([prompt], lora)[0] for prompt in prompts]
        places = [self._place(len(prompt)) for prompt in prompts]

        def keep(index: int, number: int, k: Tensor, v: Tensor) -> None:
            place = places[number]
            place.pool.keys[index][place.row, :, : len(k)] = k.transpose(0, 1)
            place.pool.values[index][place.row, :, : len(v)] = v.transpose(0, 1)

        hidden, ends = self._read(prompts, lora, keep)
        last = torch.tensor(ends, device=self.device) - 1
        return list(zip(places, self._head(hidden[last]), strict=True))

    def _read(
        self, sequences: Sequence[Sequence[int]], lora: Lora | None, on_cache: OnCache
    ) -> tuple[Tensor, list[int]]:
        """Hidden states (rows, H) of sequences laid end to end, and where each ends.

        The weights are read once for all of them; attention sees one sequence at a time.
        """
        ends = list(itertools.accumulate(map(len, sequences)))
        spans = list(zip([0, *ends], ends, strict=False))
        padding = max(0, ROW_COUNTS[0] - ends[-1])

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
        return self._layers(self.embedding[ids], positions, lora, attend), ends

    # --- one token for each of several sequences -------------------------------------------

    def step(self, sequences: Sequence[Place], tokens: Sequence[int], lora: Lora | None) -> Tensor:
        """Feed one token to each sequence; returns the next token's logits (R, V) float32."""
        for sequence in sequences:
            self._make_room(sequence)
        token_of = {id(s): t for s, t in zip(sequences, tokens, strict=True)}
        pools = [pool for pool in self.pools.values() if pool.members]
        order = [sequence for pool in pools for sequence in pool.members]
        if len(order) != len(sequences):
            raise RuntimeError("a step must feed every sequence that was started and not finished")
        rows = next(count for count in self.row_counts if count >= len(order))
        padding = [0] * (rows - len(order))
        ids = torch.tensor([token_of[id(s)] for s in order] + padding, device=self.device)
        positions = torch.tensor([s.length for s in order] + padding, device=self.device)
        attend = self._attend_pools(pools, positions)
        hidden = self._layers(self.embedding[ids], positions, lora, attend)
        for sequence in order:
            sequence.length += 1
        row_of = {id(s): row for row, s in enumerate(order)}
        return self._head(hidden)[[row_of[id(s)] for s in sequences]]

    def finish(self, sequence: Place) -> None:
        """Free a sequence's place; the last row of its pool moves into the hole."""
        pool = sequence.pool
        last = pool.members.pop()
        if last is not sequence:
            _move(last, pool, sequence.row)
            pool.members[sequence.row] = last

    # --- inside ----------------------------------------------------------------------------

    def _layers(self, x: Tensor, positions: Tensor, lora: Lora | None, attend: Attend) -> Tensor:
        """All decoder layers: x (T, H) at `positions` (T,) → hidden states before the head."""
        cos, sin = self.cos[positions], self.sin[positions]  # (T, 1, D)
        width = x.shape[-1]
        for index, layer in enumerate(self.layers):
            deltas = lora[index] if lora else {}
            h = F.rms_norm(x, (width,), layer.norm_1, self.eps)
            qkv = _linear(h, layer.qkv, layer.qkv_bias, deltas.get("qkv"))
            qkv = qkv.view(len(x), self.heads + 2 * self.kv_heads, self.head_dim)
            qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
            q, k = _rotate(qk, cos, sin).split([self.heads, self.kv_heads], dim=1)
            attended = attend(index, q, k, v)
            x = x + _linear(attended, layer.out, None, deltas.get("out"))
            h = F.rms_norm(x, (width,), layer.norm_2, self.eps)
            gate, up = _linear(h, layer.gate_up, None, deltas.get("gate_up")).chunk(2, dim=-1)
            x = x + _linear(F.silu(gate) * up, layer.down, None, deltas.get("down"))
        return F.rms_norm(x, (width,), self.final_norm, self.eps)

    def _head(self, hidden: Tensor) -> Tensor:
        """Logits (rows, V) float32."""
        rows = len(hidden)
        padded = F.pad(hidden, (0, 0, 0, max(0, ROW_COUNTS[0] - rows)))
        return F.linear(padded.float(), self.head)[:rows]

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

    def _place(self, length: int) -> Place:
        """Room for a new sequence in the pool of its padded length."""
        padded = padded_length(length)
        pool = self.pools.setdefault(padded, Pool(padded))
        if not pool.keys or len(pool.members) == len(pool.keys[0]):
            self._grow(pool)
        sequence = Place(length, pool, len(pool.members))
        pool.members.append(sequence)
        return sequence

    def _make_room(self, sequence: Place) -> None:
        """Move a sequence whose cache is full to the pool of the next padded length."""
        if sequence.length < sequence.pool.padded:
            return
        old_pool, old_row = sequence.pool, sequence.row
        new = self._place(sequence.length + 1)
        for old, fresh in ((old_pool.keys, new.pool.keys), (old_pool.values, new.pool.values)):
            for source, target in zip(old, fresh, strict=True):
                target[new.row, :, : old_pool.padded] = source[old_row]
        self.finish(sequence)
        sequence.pool, sequence.row = new.pool, new.row
        new.pool.members[new.row] = sequence

    def _grow(self, pool: Pool) -> None:
        """Double a pool's capacity (from one row), keeping what is in it."""
        old = len(pool.keys[0]) if pool.keys else 0
        shape = (max(1, 2 * old), self.kv_heads, pool.padded, self.head_dim)
        for name in ("keys", "values"):
            grown = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self.layers]
            for source, target in zip(getattr(pool, name), grown, strict=False):
                target[:old] = source
            setattr(pool, name, grown)

    def _rope_table(self, model: Any, positions: int) -> tuple[Tensor, Tensor]:
        """cos and signed sin, each (positions, 1, D), as the model's own rotary module has them."""
        ids = torch.arange(positions, device=self.device)[None]
        cos, sin = model.model.rotary_emb(self.embedding[:1, :1], ids)
        half = self.head_dim // 2
        signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        return cos[0, :, None].contiguous(), signed[0, :, None].contiguous()

    @torch.no_grad()
    def _measure_row_counts(self) -> tuple[int, ...]:
        """The numbers of rows for which a row's logits are the same bits as in the largest batch.

        Found by running steps. Where small batches use other kernels (float32: below four rows),
        a batch is padded up to the next number of rows that agrees.
        """
        reference = self._trial_step(ROW_COUNTS[-1])
        agreeing = [ROW_COUNTS[-1]]
        for count in reversed(ROW_COUNTS[:-1]):
            if not torch.equal(self._trial_step(count), reference[: count - 1]):
                break
            agreeing.append(count)
        return tuple(reversed(agreeing))

    def _trial_step(self, count: int) -> Tensor:
        """Logits (count - 1, V) of a step over fixed sequences; the last has a pool of its own."""
        tokens = torch.randint(0, self.vocab_size, (self.max_rows, 2), generator=torch.Generator().manual_seed(0))
        places = [self._place(40) for _ in range(count - 1)] + [self._place(100)]
        for place, token in zip(places, tokens, strict=False):
            random = torch.Generator().manual_seed(int(token[1]))
            pattern = torch.randn(self.kv_heads, 40, self.head_dim, generator=random)
            for tensor in (*place.pool.keys, *place.pool.values):
                tensor[place.row, :, :40] = pattern.to(self.dtype)
        logits = self.step(places, tokens[:count, 0].tolist(), None)
        for place in reversed(places):
            self.finish(place)
        return logits[:-1]

    @torch.no_grad()
    def _measure_packing(self) -> bool:
        """Whether prompts read together give the same bits as each alone."""
        random = torch.Generator().manual_seed(0)
        lengths = (1, 3, 18, 33, 61, 130)
        prompts = [torch.randint(0, self.vocab_size, (n,), generator=random).tolist() for n in lengths]
        together = self.start(prompts, None)
        alone = [self.start([prompt], None)[0] for prompt in prompts]
        for place, _ in (*together, *alone):
            self.finish(place)
        return all(torch.equal(a[1], b[1]) for a, b in zip(together, alone, strict=True))


def supports(config: Any) -> bool:
    """Whether this file's arithmetic is the model's: Llama and Qwen2, plain attention, static RoPE."""
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in {"llama", "qwen2"}
        and rope.get("rope_type", "default") in STATIC_ROPES
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "use_sliding_window", False)
        and (config.model_type == "qwen2" or not getattr(config, "attention_bias", False))
    )


def _fuse(layer: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
    bias = torch.cat([p.bias.detach() for p in qkv]) if qkv[0].bias is not None else None
    return Layer(
        norm_1=layer.input_layernorm.weight.detach(),
        qkv=torch.cat([p.weight.detach() for p in qkv]),
        qkv_bias=bias,
        out=attention.o_proj.weight.detach(),
        norm_2=layer.post_attention_layernorm.weight.detach(),
        gate_up=torch.cat([mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()]),
        down=mlp.down_proj.weight.detach(),
        shapes={fused: [linear_shape(layer.get_submodule(part)) for part in parts] for fused, parts in FUSED.items()},
    )


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, delta: Delta | None) -> Tensor:
    """x W^T + b, plus the adapter's (x A^T) B^T with its scale already in B."""
    y = F.linear(x, weight, bias)
    if delta is None:
        return y
    a, b = delta
    return torch.addmm(y, F.linear(x, a), b.t())


def _rotate(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotary position embedding: x (T, heads, D)."""
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    return torch.addcmul(x * cos, swapped, signed_sin)


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of one whole sequence: q (T, heads, D), k and v (T, kv, D) → (T, heads D)."""
    group = q.shape[1] // k.shape[1]
    k, v = (t.transpose(0, 1).repeat_interleave(group, dim=0)[None] for t in (k, v))
    out = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k, v, is_causal=True)
    return out[0].transpose(0, 1).reshape(len(q), -1)


def _ignore(index: int, number: int, k: Tensor, v: Tensor) -> None:
    """Keep no keys and values."""


def _move(sequence: Place, pool: Pool, row: int) -> None:
    """Copy a sequence's keys and values to another row of its pool."""
    for tensors in (pool.keys, pool.values):
        for tensor in tensors:
            tensor[row] = tensor[sequence.row]
    sequence.row = row

"""The forward pass of Llama-shaped decoders, with an adapter, over tokens laid end to end.

Who attends to what is the caller's: it hands in a function. Names carry axes: T tokens, H hidden
size, V vocabulary, D head size, I size of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claas_assets.stack.backend import Weights, linear_shape

STATIC_ROPES = {"default", "linear", "llama3", "yarn"}
FEWEST_ROWS = 4  # below, the libraries switch to matrix-vector kernels, which add up in another order

Delta = tuple[Tensor, Tensor]
Lora = list[dict[str, Delta]]  # a layer: fused projection → (A, B with its scale)
FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (layer, q, k, v) → attended


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


class Decoder:
    """The frozen weights of one model and the arithmetic on them."""

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

    def hidden(self, x: Tensor, positions: Tensor, lora: Lora | None, attend: Attend) -> Tensor:
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

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (rows, V) float32."""
        rows = len(hidden)
        padded = F.pad(hidden, (0, 0, 0, max(0, FEWEST_ROWS - rows)))
        return F.linear(padded.float(), self.head)[:rows]

    def _rope_table(self, model: Any, positions: int) -> tuple[Tensor, Tensor]:
        """cos and signed sin, each (positions, 1, D), as the model's own rotary module has them."""
        ids = torch.arange(positions, device=self.device)[None]
        cos, sin = model.model.rotary_emb(self.embedding[:1, :1], ids)
        half = self.head_dim // 2
        signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        return cos[0, :, None].contiguous(), signed[0, :, None].contiguous()


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

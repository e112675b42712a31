"""The forward pass of Llama-shaped decoders, with an adapter, over tokens laid end to end.

Who attends to what is the caller's: it hands in a function. Names carry axes: T tokens, H hidden
size, V vocabulary, D head size, I size of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claas_assets.stack.backend import Weights
from claas_assets.stack.llama.products import Merged, Product, merge, merge_float32

STATIC_ROPES = {"default", "linear", "llama3", "yarn"}
FEWEST_ROWS = 4  # below, the libraries switch to matrix-vector kernels, which add up in another order

FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
Lora = list[dict[str, Merged]]
"""An adapter, bound: for each layer the fused projections that stand in for the base model's."""
Attend = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, q (T, heads, D), keys and values (T, 2 kv, D)) → attended (T, heads D)."""


@dataclass
class Layer:
    """Weights of one decoder layer; projections that read the same input are fused."""

    norm_1: Tensor
    """(H,), before attention."""
    norm_2: Tensor
    """(H,), before the feed-forward layer."""
    products: dict[str, Product]
    """By the names of `FUSED`."""


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
        self.head = Product([model.get_output_embeddings().weight.detach().float()])
        self.layers = [self._fuse(layer) for layer in model.model.layers]
        self.turns = self._turns(model, config.max_position_embeddings)

    def bind(self, weights: Weights, scale: float) -> Lora:
        """The layers' products with the adapter merged into them.

        Sampling, scoring and training use the same merged weights. Where the adapter's matrices
        require gradients, so do the products.
        """
        trained = any(matrix.requires_grad for pair in weights.values() for matrix in pair)
        bound: Lora = []
        for index, layer in enumerate(self.layers):
            pairs = layer_pairs(weights, index)
            changed = {fused: own for fused, own in pairs.items() if trained or any(own)}
            bound.append({fused: merge(layer.products[fused], own, scale, trained) for fused, own in changed.items()})
        return bound

    def hidden(self, tokens: Tensor, positions: Tensor, lora: Lora | Exact | None, attend: Attend) -> Tensor:
        """Token ids (T,) at `positions` (T,) → hidden states (T, H) before the head."""
        dtype = torch.float32 if isinstance(lora, Exact) else self.dtype
        x, turn = self.embedding[tokens].to(dtype), self.turns[positions]
        width = (x.shape[-1],)
        shape = (len(x), self.heads + 2 * self.kv_heads, self.head_dim)
        for index, layer in enumerate(self.layers):
            product: Mapping[str, Product | Merged] = {**layer.products, **(lora[index] if lora is not None else {})}
            qkv = product["qkv"](F.rms_norm(x, width, layer.norm_1.to(dtype), self.eps)).view(shape)
            qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
            q, k = _rotate(qk, turn).split([self.heads, self.kv_heads], dim=1)
            x = x + product["out"](attend(index, q, torch.cat([k, v], dim=1)))
            gate, up = product["gate_up"](F.rms_norm(x, width, layer.norm_2.to(dtype), self.eps)).chunk(2, dim=-1)
            x = x + product["down"](F.silu(gate) * up)
        return F.rms_norm(x, width, self.final_norm.to(dtype), self.eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (rows, V) float32 of hidden states (rows, H)."""
        rows = len(hidden)
        padded = F.pad(hidden, (0, 0, 0, max(0, FEWEST_ROWS - rows))).float()
        return self.head.differentiable(padded)[:rows] if padded.requires_grad else self.head(padded)[:rows]

    def _fuse(self, layer: Any) -> Layer:
        """A layer's weights, q and k in the order that `_rotate` wants: the halves of a pair side by side."""
        half = self.head_dim // 2
        pairs = torch.arange(self.head_dim).view(2, half).t().flatten()
        orders: dict[str, Tensor | None] = {}
        for name, heads in (("q_proj", self.heads), ("k_proj", self.kv_heads)):
            orders[name] = (torch.arange(heads)[:, None] * self.head_dim + pairs).flatten().to(self.device)
        products = {}
        for fused, parts in FUSED.items():
            modules = [layer.get_submodule(part) for part in parts]
            products[fused] = Product(
                [module.weight.detach() for module in modules],
                [module.bias.detach() for module in modules] if modules[0].bias is not None else None,
                [orders.get(part.rpartition(".")[2]) for part in parts],
            )
        norms = (layer.input_layernorm.weight.detach(), layer.post_attention_layernorm.weight.detach())
        return Layer(*norms, products)

    def _turns(self, model: Any, positions: int) -> Tensor:
        """The rotations of rotary position embedding, complex (positions, 1, D/2), as the model has them."""
        ids = torch.arange(positions, device=self.device)[None]
        like = self.embedding[:1, :1].float()
        cos, sin = (table[0, :, : self.head_dim // 2] for table in model.model.rotary_emb(like, ids))
        return torch.complex(cos, sin)[:, None].contiguous()


class Exact:
    """An adapter (or none) whose layers compute in float32, made when a layer is reached: one at a time.

    bfloat16 is off by up to 0.4 nats a token.
    """

    def __init__(self, decoder: Decoder, weights: Weights, scale: float) -> None:
        self._decoder, self._weights, self._scale = decoder, weights, scale

    def __getitem__(self, index: int) -> dict[str, Merged]:
        products = self._decoder.layers[index].products
        pairs = layer_pairs(self._weights, index)
        return {fused: merge_float32(products[fused], pairs[fused], self._scale) for fused in FUSED}


def layer_pairs(weights: Weights, index: int) -> dict[str, list[tuple[Tensor, Tensor] | None]]:
    """An adapter's matrices for one layer: of each part of a fused projection, None where it has none."""
    prefix = f"model.layers.{index}."
    return {fused: [weights.get(prefix + part) for part in parts] for fused, parts in FUSED.items()}


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


def _rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary position embedding of x (T, heads, D), whose pairs lie side by side."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)

"""Matrix products with frozen weights, and with an adapter merged into them.

Half of a decoding step on a processor is reading weights, so they are laid out once as oneDNN's
kernels read them (1.2 to 2 times as fast as a plain layout for 4 to 32 rows). An adapter is added
to the weights when it is bound (W + scale · B A, summed in float32): a step then costs what it
costs without one, and sampling and training compute with the same weights, so that the importance
ratio of the first update is 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PACKED_FOR_ROWS = 256  # the layout is good for fewer and for more rows too


class Product:
    """`x W^T + b` for the stacked weights of projections that read the same input. No gradient."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor] | None = None,
        orders: Sequence[Tensor | None] | None = None,
    ) -> None:
        self.orders = orders or [None] * len(weights)
        """For each part the order in which its outputs are kept, None for its own."""
        self.sizes = [len(weight) for weight in weights]
        self.dtype = weights[0].dtype
        self.bias = self._stack(biases) if biases is not None else None
        self.weight = pack(self._stack(weights))

    def __call__(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)

    def differentiable(self, x: Tensor) -> Tensor:
        """The same product, through which gradients reach `x`."""
        return F.linear(x, unpack(self.weight), self.bias)

    def _stack(self, parts: Sequence[Tensor]) -> Tensor:
        ordered = [part if order is None else part[order] for part, order in zip(parts, self.orders, strict=True)]
        return torch.cat(ordered)


@dataclass(frozen=True)
class Merged:
    """A product whose weights hold an adapter."""

    weight: Tensor
    """(out, in): packed, but plain where it is trained."""
    bias: Tensor | None
    packed: bool
    trained: tuple[Tensor, Tensor] | None = None
    """A (r, in) and scaled B (out, r) of all parts, where gradients are to reach them."""

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            return product(x, self.weight, self.bias)
        if self.trained is None:
            return F.linear(x, self.weight, self.bias)
        adapted: Tensor = _Trained.apply(x, self.weight, self.bias, *self.trained)
        return adapted


Pairs = Sequence[tuple[Tensor, Tensor] | None]
"""Of each part of a product the adapter's (A (r, in), B (out, r)), None where it has none."""


def merge(base: Product, pairs: Pairs, scale: float, trained: bool) -> Merged:
    """`base` with an adapter; `trained` lets gradients reach its matrices."""
    weight = _sum(base, pairs, scale).to(base.dtype)
    if not trained:
        return Merged(pack(weight), base.bias, packed=True)
    rows_a, rows_b = [], []
    for a, b, begin, end in _matrices(base, pairs, scale):
        rows_a.append(a.to(base.dtype))
        rows_b.append(F.pad(b.to(base.dtype), (0, 0, begin, len(weight) - end)))
    matrices = (torch.cat(rows_a), torch.cat(rows_b, dim=1)) if rows_a else None
    return Merged(weight, base.bias, packed=False, trained=matrices)


def merge_float32(base: Product, pairs: Pairs, scale: float) -> Merged:
    """`base` with an adapter, computing in float32."""
    return Merged(_sum(base, pairs, scale), None if base.bias is None else base.bias.float(), packed=False)


@torch.no_grad()
def _sum(base: Product, pairs: Pairs, scale: float) -> Tensor:
    """W + scale · B A (out, in), float32."""
    plain = unpack(base.weight)
    weight = plain.to(torch.float32, copy=plain is base.weight)  # what was unpacked is a copy already
    for a, b, begin, end in _matrices(base, pairs, scale):
        weight[begin:end].addmm_(b, a)
    return weight


def _matrices(base: Product, pairs: Pairs, scale: float) -> Iterator[tuple[Tensor, Tensor, int, int]]:
    """For each part that has an adapter: A, scaled B in the order of the part's outputs, its first and last row."""
    end = 0
    for pair, order, size in zip(pairs, base.orders, base.sizes, strict=True):
        begin, end = end, end + size
        if pair is not None:
            a, b = (matrix.to(base.weight.device) for matrix in pair)
            yield a, scale * (b if order is None else b[order]), begin, end


class _Trained(torch.autograd.Function):
    """`x W^T + b` with W = W_0 + B A merged: the gradients are those of x A^T B^T."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor]:
        x, weight, a, b = ctx.saved_tensors
        dx = dy @ weight if ctx.needs_input_grad[0] else None
        return dx, None, None, (dy @ b).t() @ x, dy.t() @ F.linear(x, a)


def pack(weight: Tensor) -> Tensor:
    """The weight (out, in) in oneDNN's layout where its kernels take it, else as it is."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return weight
    native = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if weight.dtype != torch.float32 and not native:
        return weight
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_FOR_ROWS)
    return packed


def unpack(weight: Tensor) -> Tensor:
    """The weight (out, in) as it was before `pack`."""
    return weight.to_dense() if weight.is_mkldnn else weight


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b` for a packed or plain weight."""
    if not weight.is_mkldnn:
        return F.linear(x, weight, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y

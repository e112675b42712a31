"""What an engine needs from a model: logits of a whole sequence, and of one more token.

`Weights` names an adapter's matrices by the module they belong to, as PEFT does:
`{"model.layers.0.self_attn.q_proj": (A (r, in), B (out, r))}`. A backend turns them into the form
that it computes with (`bind`); gradients pass through.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Weights = Mapping[str, tuple[Tensor, Tensor]]


class Backend(Protocol):
    """One loaded model. Used by one thread at a time."""

    max_rows: int  # sequences that a step can take
    vocab_size: int
    determinism: str  # in words: why a request's result does not depend on the others
    dtype: torch.dtype  # that of generation and training
    score_dtype: torch.dtype  # that of scores; float32 where the backend can

    def bind(self, weights: Weights, scale: float) -> Any:
        """An adapter in the form that the other calls take; `scale` is alpha / r."""

    def bind_for_scores(self, weights: Weights | None, scale: float) -> Any:
        """As `bind`, of the base model where `weights` is None: `logits` then computes in `score_dtype`.

        Called where that is not `dtype`.
        """

    def logits(self, sequences: Sequence[Sequence[int]], keeps: Sequence[int], lora: Any) -> list[Tensor]:
        """For each sequence the logits (keep, V) float32 after each of its last `keep` tokens.

        `lora` None is the base model. Gradients reach the adapter's weights.
        """

    def start(self, prompts: Sequence[Sequence[int]], lora: Any) -> tuple[list[Any], Tensor]:
        """Read prompts: for each a place to go on from, and the next token's logits (R, V)."""

    def step(self, places: Sequence[Any], tokens: Sequence[int], lora: Any) -> Tensor:
        """Feed one token to every place that is open: the next token's logits (R, V)."""

    def finish(self, place: Any) -> None:
        """Close a place."""


PACK_TOKENS = 1024
"""Sequences are read together up to this many tokens: speed against memory."""


def packs(sizes: Sequence[int], most: int = 64) -> Iterator[slice]:
    """Runs of neighbors of at most `PACK_TOKENS` tokens and `most` items, one item at least.

    >>> list(packs([600, 300, 300, 2000]))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    begin = tokens = 0
    for index, size in enumerate(sizes):
        if index > begin and (tokens + size > PACK_TOKENS or index - begin == most):
            yield slice(begin, index)
            begin, tokens = index, 0
        tokens += size
    if begin < len(sizes):
        yield slice(begin, len(sizes))


@contextlib.contextmanager
def float32_precision() -> Iterator[None]:
    """Products of float32 are products of float32, whatever speed was preferred at loading."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def linear_modules(model: Any) -> dict[str, tuple[int, int]]:
    """Every linear layer but the output head: name → (in, out). GPT-2's `Conv1D` counts as one."""
    head = model.get_output_embeddings()
    return {
        name: linear_shape(module) for name, module in model.named_modules() if is_linear(module) and module is not head
    }


def is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def linear_shape(module: Any) -> tuple[int, int]:
    """(in, out) of a linear layer."""
    rows, columns = module.weight.shape
    return (columns, rows) if isinstance(module, nn.Linear) else (rows, columns)


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32 (emulation is slower)."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    return torch.bfloat16 if native else torch.float32

"""Any causal language model that transformers can load, one sequence after another.

Slower than `llama.py`, and deterministic because nothing is ever batched.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from claas_assets.stack.backend import Weights, is_linear

Lora = dict[str, tuple[Tensor, Tensor]]  # module → (A, B with its scale)


class GenericBackend:
    """Implements `Backend` with the model's own forward pass; the adapter is added by hooks."""

    max_rows = 16
    determinism = "one sequence at a time"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.dtype = self.score_dtype = model.dtype
        self.vocab_size: int = model.get_output_embeddings().weight.shape[0]
        parameters = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in parameters else "past_key_values"  # renamed in 2026
        self.modules = {name: module for name, module in model.named_modules() if is_linear(module)}

    def bind(self, weights: Weights, scale: float) -> Lora:
        device, dtype = self.model.device, self.model.dtype
        return {name: (a.to(device, dtype), (b * scale).to(device, dtype)) for name, (a, b) in weights.items()}

    def bind_for_scores(self, weights: Weights | None, scale: float) -> Lora | None:
        raise NotImplementedError("scores have the model's own type")

    def logits(self, sequences: Sequence[Sequence[int]], keeps: Sequence[int], lora: Lora | None) -> list[Tensor]:
        with self._adapted(lora):
            return [
                self.model(input_ids=self._ids(ids), use_cache=False).logits[0, -keep:].float()
                for ids, keep in zip(sequences, keeps, strict=True)
            ]

    def start(self, prompts: Sequence[Sequence[int]], lora: Lora | None) -> tuple[list[Any], Tensor]:
        places: list[Any] = [{} for _ in prompts]
        return places, torch.stack([self._advance(*pair, lora) for pair in zip(places, prompts, strict=True)])

    def step(self, places: Sequence[Any], tokens: Sequence[int], lora: Lora | None) -> Tensor:
        pairs = zip(places, tokens, strict=True)
        return torch.stack([self._advance(place, [token], lora) for place, token in pairs])

    def finish(self, place: dict[str, Any]) -> None:
        place.clear()

    def _advance(self, place: dict[str, Any], token_ids: Sequence[int], lora: Lora | None) -> Tensor:
        with self._adapted(lora):
            cache = {self.cache_name: place.get("cache")}
            output = self.model(input_ids=self._ids(token_ids), use_cache=True, **cache)
        place["cache"] = output.get(self.cache_name, output.past_key_values)
        return output.logits[0, -1].float()

    def _ids(self, token_ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(token_ids)], device=self.model.device)

    @contextmanager
    def _adapted(self, lora: Lora | None) -> Iterator[None]:
        """The adapter's term is added to the output of its modules while this is open."""
        handles = [self.modules[name].register_forward_hook(_adder(*ab)) for name, ab in (lora or {}).items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _adder(a: Tensor, b: Tensor) -> Callable[[Any, Any, Tensor], Tensor]:
    def add(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + (inputs[0] @ a.t()) @ b.t()

    return add

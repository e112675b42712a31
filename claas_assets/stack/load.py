"""From a model's name to an engine that is ready."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from claas_assets.stack import llama
from claas_assets.stack.adapters import AdapterStore
from claas_assets.stack.backend import Backend, default_device, default_dtype, linear_modules
from claas_assets.stack.engine import Engine
from claas_assets.stack.generic import GenericBackend
from claas_assets.stack.text import ChatText
from claas_assets.stack.weights import quiet_transformers, resolve

log = logging.getLogger(__name__)


def load_engine(
    base_model: str,
    adapters: Path,
    *,
    dtype: torch.dtype | None = None,
    generic: bool = False,
    on_progress: Callable[[str], None] = log.info,
) -> Engine:
    """Load a model (the default's name, a Hugging Face id or a folder) and start its engine.

    `generic` forces transformers' own forward pass. Raises `WeightsError`, or what transformers
    raises for a model that it cannot load.
    """
    # In a thread that ends: the pool of OpenMP workers that loading needs ends with it. A pool that
    # stayed beside the engine's would make libgomp stop spinning, which costs half of the speed.
    with ThreadPoolExecutor(1) as loader:
        return loader.submit(_load, base_model, adapters, dtype, generic, on_progress).result()


def _load(
    base_model: str,
    adapters: Path,
    dtype: torch.dtype | None,
    generic: bool,
    on_progress: Callable[[str], None],
) -> Engine:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = resolve(base_model, on_progress)
    on_progress(f"loading {base_model}")
    device = default_device()
    dtype = dtype or default_dtype(device)
    # Matrix products of float32 values that came from bfloat16 ones (the output head) then run at
    # bfloat16's speed and are exact all the same. Nothing else here multiplies in float32.
    torch.set_float32_matmul_precision("medium" if dtype == torch.bfloat16 else "highest")
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    model.to(device).eval().requires_grad_(False)
    modules = linear_modules(model)
    context = getattr(model.config, "max_position_embeddings", None) or 2048
    text = ChatText(tokenizer, _end_ids(model, tokenizer))
    backend: Backend
    if generic or not llama.supports(model.config):
        backend = GenericBackend(model)
    else:
        on_progress("measuring which batches agree")
        backend = llama.LlamaBackend(model)
    return Engine(backend, text, AdapterStore(adapters, base_model), modules, context)


def _end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end a turn, from the generation config and the tokenizer."""
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = set(named) if isinstance(named, list) else {named}
    return {i for i in (*ids, tokenizer.eos_token_id) if i is not None}

"""A request gives the same text and logprobs whatever else is being generated."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.llama.backend import LlamaBackend, OnCache
from tests.stack.conftest import MakeEngine, generation, train_little

DTYPES = [torch.float32, torch.bfloat16]


def outcome(done: Generation) -> tuple[str, list[tuple[int, float]]]:
    return done.text, [(sampled.token_id, sampled.logprob) for sampled in done.sampled]


def crowd(engine: Engine, count: int, lora_id: str | None, least: int = 20, more: int = 7) -> list[Generation]:
    """Requests of different lengths (tokens: at `least`, and up to eight times `more`), temperatures and seeds."""
    return [
        generation(
            engine,
            f"Tell me about {'a lot of ' * (i % 5)}topic {i}.",
            lora_id=lora_id,
            temperature=(0.0, 0.7, 1.3)[i % 3],
            seed=i,
            max_tokens=least + more * (i % 9),
            top_logprobs=3 * (i % 2),
        )
        for i in range(count)
    ]


def check_alone_and_together(engine: Engine, lora_id: str | None, count: int, *tokens: int) -> None:
    alone = [outcome(engine.generate(request).result()) for request in crowd(engine, count, lora_id, *tokens)]
    together = [engine.generate(request) for request in crowd(engine, count, lora_id, *tokens)]
    assert [outcome(future.result()) for future in together] == alone
    backwards = [engine.generate(request) for request in reversed(crowd(engine, count, lora_id, *tokens))]
    assert [outcome(future.result()) for future in reversed(backwards)] == alone


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_alone_and_in_a_batch(make_engine: MakeEngine, dtype: torch.dtype) -> None:
    engine = make_engine(dtype=dtype)
    check_alone_and_together(engine, None, 12)


def test_with_a_trained_adapter_and_refilled_places(make_engine: MakeEngine) -> None:
    engine = make_engine(dtype=torch.bfloat16)
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a")
    check_alone_and_together(engine, "a", 40, 8, 3)


def test_model_without_a_lean_pass(make_engine: MakeEngine) -> None:
    engine = make_engine(generic=True)
    check_alone_and_together(engine, None, 6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scores_do_not_depend_on_each_other(make_engine: MakeEngine, dtype: torch.dtype) -> None:
    check_scores_alone_and_together(make_engine(dtype=dtype))


def check_scores_alone_and_together(engine: Engine) -> None:
    pairs = [(engine.text.encode("prompt " * (i + 1)), engine.text.completion("answer " * (9 - i))) for i in range(8)]
    alone = [engine.score(*pair, None).result() for pair in pairs]
    together = [engine.score(*pair, None) for pair in pairs]
    assert [future.result() for future in together] == alone


@pytest.mark.parametrize(("scores", "prompts"), [(False, True), (True, False)])
def test_whether_scores_may_be_read_together_is_measured_apart_from_prompts(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, scores: bool, prompts: bool
) -> None:
    """As on a GPU, where float32 kernels depend on how many rows there are, and bfloat16's do not."""
    read = LlamaBackend._read

    def other_bits_in_company(
        self: LlamaBackend, sequences: list[list[int]], lora: Any, on_cache: OnCache
    ) -> tuple[torch.Tensor, list[int]]:
        hidden, ends = read(self, sequences, lora, on_cache)
        agrees = scores if hidden.dtype == torch.float32 else prompts
        return hidden if agrees or len(sequences) == 1 else hidden * 1.01, ends

    monkeypatch.setattr(LlamaBackend, "_read", other_bits_in_company)
    engine = make_engine(dtype=torch.bfloat16)
    together, alone = "read together measured to agree", "read one at a time"
    assert f"prompts {together if prompts else alone}" in engine.backend.determinism
    assert f"float32 scores {together if scores else alone}" in engine.backend.determinism
    check_scores_alone_and_together(engine)
    check_alone_and_together(engine, None, 4)

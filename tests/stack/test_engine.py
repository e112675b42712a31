"""What is generated, scored and trained, against transformers' own forward pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from claas_assets.stack.backend import packs
from claas_assets.stack.generic import GenericBackend
from claas_assets.stack.llama import LlamaBackend
from claas_assets.stack.llama.cache import blocks_of
from claas_assets.stack.load import load_engine
from tests.stack.conftest import MESSAGES, MakeEngine, generation, make_tiny_model, train_little


def trained_weights(modules: dict[str, tuple[int, int]], r: int = 4) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(3)
    return {
        name: (torch.randn(r, i, generator=random) * 0.1, torch.randn(o, r, generator=random) * 0.1)
        for name, (i, o) in modules.items()
    }


@pytest.mark.parametrize("targets", [None, ["q_proj", "v_proj", "down_proj"]], ids=["all", "some"])
def test_lean_pass_equals_transformers(make_engine: MakeEngine, tiny_model: Path, targets: list[str] | None) -> None:
    from transformers import AutoModelForCausalLM

    engine = make_engine()
    lean, plain = engine.backend, GenericBackend(AutoModelForCausalLM.from_pretrained(tiny_model))
    assert isinstance(lean, LlamaBackend)
    weights = trained_weights({n: s for n, s in engine.modules.items() if not targets or n.split(".")[-1] in targets})
    ids = engine.text.prompt(MESSAGES)
    for own, other in ((None, None), (lean.bind(weights, 2.0), plain.bind(weights, 2.0))):
        found = lean.logits([ids], [9], own)[0]
        torch.testing.assert_close(found, plain.logits([ids], [9], other)[0], rtol=1e-4, atol=1e-4)


def test_adapter_changes_the_model_as_peft_does(make_engine: MakeEngine, tiny_model: Path, tmp_path: Path) -> None:
    import io
    import zipfile

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    engine = make_engine()
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a")
    zipfile.ZipFile(io.BytesIO(engine.store.export("a"))).extractall(tmp_path / "peft")
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "peft")
    adapter = engine.store.load("a")
    ids = engine.text.prompt(MESSAGES)
    found = engine.backend.logits([ids], [5], engine.backend.bind(adapter.weights, adapter.info.scale))[0]
    expected = peft(input_ids=torch.tensor([ids])).logits[0, -5:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - engine.backend.logits([ids], [5], None)[0]).abs().max() > 1e-2


def test_steps_equal_the_whole_sequence(make_engine: MakeEngine) -> None:
    """Also across the move to a longer cache, and when a neighbor leaves."""
    engine = make_engine()
    done = [engine.generate(generation(engine, "x" * n, max_tokens=90, seed=n)) for n in (1, 20, 50)]
    for request in (future.result() for future in done):
        ids = [sampled.token_id for sampled in request.sampled]
        again = engine.score(request.prompt_ids, ids, None).result()
        torch.testing.assert_close(
            torch.tensor(again), torch.tensor([s.logprob for s in request.sampled]), rtol=1e-3, atol=1e-4
        )


def test_gradients_are_the_same_in_both_passes(make_engine: MakeEngine, tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    engine = make_engine()
    plain = GenericBackend(AutoModelForCausalLM.from_pretrained(tiny_model))
    ids = engine.text.prompt(MESSAGES)
    gradients = []
    for backend in (engine.backend, plain):
        weights = trained_weights(engine.modules)
        for a, b in weights.values():
            a.requires_grad_()
            b.requires_grad_()
        backend.logits([ids, ids[:20]], [5, 5], backend.bind(weights, 2.0))[0].log_softmax(-1)[:, 7].sum().backward()
        gradients.append([matrix.grad for pair in weights.values() for matrix in pair])
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("lora_id", [None, "a"])
def test_scores_are_float32_whatever_generates(make_engine: MakeEngine, tiny_model: Path, lora_id: str | None) -> None:
    """Against the same bfloat16 weights in a float32 model."""
    from transformers import AutoModelForCausalLM

    engine = make_engine(dtype=torch.bfloat16)
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a")
    rounded = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).float()
    exact = GenericBackend(rounded)
    adapter = engine.store.load("a")
    prompt, answer = engine.text.prompt(MESSAGES), engine.text.completion("I am Kuro.")
    lora = exact.bind(adapter.weights, adapter.info.scale) if lora_id else None
    logits = exact.logits([prompt + answer[:-1]], [len(answer)], lora)[0]
    expected = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).squeeze(-1)
    found = torch.tensor(engine.score(prompt, answer, lora_id).result())
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=2e-5)


def test_first_update_sees_a_ratio_of_one(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.create_adapter("a", 4, 8, None).result()
    for _ in range(2):  # with an untrained adapter, and with a trained one
        first = train_little(engine, "a", updates=2).steps[0]
        assert first["mean_is_ratio"] == pytest.approx(1.0, abs=1e-4)
        assert first["clip_fraction"] == 0.0


def test_training_goes_towards_the_teacher(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.create_adapter("a", 8, 16, None).result()
    losses = [step["distill_loss"] for step in train_little(engine, "a", updates=8, learning_rate=0.01).steps]
    assert losses[-1] < 0.7 * losses[0]


def test_stop_length_and_end_of_turn(make_engine: MakeEngine) -> None:
    engine = make_engine()
    whole = engine.generate(generation(engine, max_tokens=30)).result()
    assert (whole.finish_reason, len(whole.sampled)) == ("length", 30)
    stop = whole.text[10:12]
    cut = engine.generate(generation(engine, max_tokens=30, stop=[stop])).result()
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    engine.text.end_ids.add(whole.sampled[4].token_id)
    ended = engine.generate(generation(engine, max_tokens=30)).result()
    first = [s.token_id for s in whole.sampled].index(whole.sampled[4].token_id)
    assert ended.finish_reason == "stop"
    assert len(ended.sampled) == first + 1  # the end of turn is kept for training, not shown
    assert ended.text == engine.text.decode([s.token_id for s in whole.sampled[:first]])


def test_small_top_p_is_greedy_and_seeds_differ(make_engine: MakeEngine) -> None:
    engine = make_engine()

    def text(**options: object) -> str:
        return engine.generate(generation(engine, **options)).result().text  # type: ignore[arg-type]

    assert text(temperature=1.5, top_p=1e-6) == text(temperature=0.0)
    assert text(seed=1) != text(seed=2)
    assert text(seed=None) != text(seed=None)


def test_top_logprobs_are_the_raw_distribution(make_engine: MakeEngine) -> None:
    engine = make_engine()
    hot, cold = (engine.generate(generation(engine, temperature=t, top_logprobs=25)).result() for t in (1.5, 0.1))
    assert hot.sampled[0].top == cold.sampled[0].top
    values = [logprob for _, logprob in hot.sampled[0].top]
    assert len(values) == 25
    assert values == sorted(values, reverse=True)
    assert cold.sampled[0].logprob == values[0]


def test_adapters_take_turns(make_engine: MakeEngine) -> None:
    engine = make_engine()
    for name in ("a", "b"):
        engine.create_adapter(name, 4, 8, None).result()
    train_little(engine, "b")
    mixed = [engine.generate(generation(engine, lora_id=name)) for name in (None, "a", "b") * 12]
    texts = [future.result(timeout=30).text for future in mixed]
    assert texts == texts[:3] * 12
    assert texts[0] == texts[1] != texts[2]


def test_adapters_that_were_not_trained_are_decoded_together_until_one_is(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    for name in ("a", "b"):
        engine.create_adapter(name, 4, 8, None).result()
    rows: list[int] = []
    step = engine.backend.step

    def counted(places: Any, tokens: Any, lora: Any) -> torch.Tensor:
        rows.append(len(places))
        return step(places, tokens, lora)

    monkeypatch.setattr(engine.backend, "step", counted)

    def answers() -> list[tuple[str, list[float]]]:
        rows.clear()
        futures = [generation(engine, "Tell me a story.", lora_id=name, max_tokens=40, seed=1) for name in ("a", "b")]
        done = [future.result() for future in [engine.generate(request) for request in futures]]
        return [(one.text, [sampled.logprob for sampled in one.sampled]) for one in done]

    base = engine.generate(generation(engine, "Tell me a story.", lora_id=None, max_tokens=40, seed=1)).result()
    untrained = answers()
    assert max(rows) == 2
    assert untrained[0] == untrained[1] == (base.text, [sampled.logprob for sampled in base.sampled])
    train_little(engine, "a", updates=4, learning_rate=0.05)
    trained = answers()
    assert max(rows) == 1
    assert trained[0] != trained[1] == untrained[1]


def test_cancelled_request_leaves(make_engine: MakeEngine) -> None:
    engine = make_engine()
    request = generation(engine, max_tokens=400)
    future = engine.generate(request)
    request.cancelled = True
    assert len(future.result(timeout=20).sampled) < 400


def test_unknown_adapter_fails_only_its_own_request(make_engine: MakeEngine) -> None:
    engine = make_engine()
    bad = engine.generate(generation(engine, lora_id="nobody"))
    with pytest.raises(LookupError):
        bad.result(timeout=20)
    assert engine.generate(generation(engine)).result(timeout=20).text


def test_closing_answers_what_waits(make_engine: MakeEngine) -> None:
    engine = make_engine()
    futures = [engine.generate(generation(engine, max_tokens=300)) for _ in range(40)]
    time.sleep(0.05)
    engine.close()
    for future in futures:
        assert future.done()


def test_bias_and_separate_head(tmp_path: Path) -> None:
    """Qwen2's shape: biases on q, k and v, here with an output head of its own."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = make_tiny_model(tmp_path / "model")
    config = Qwen2Config(
        vocab_size=99, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False, eos_token_id=2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    engine = load_engine(str(folder), tmp_path / "adapters", dtype=torch.float32, on_progress=lambda _: None)
    assert isinstance(engine.backend, LlamaBackend)
    ids = engine.text.prompt(MESSAGES)
    expected = model(input_ids=torch.tensor([ids])).logits[0, -3:]
    torch.testing.assert_close(engine.backend.logits([ids], [3], None)[0], expected, rtol=1e-4, atol=1e-4)
    engine.close()


@pytest.mark.parametrize(("length", "rounded"), [(1, 64), (64, 64), (65, 128), (8192, 8192)])
def test_lengths_are_whole_blocks(length: int, rounded: int) -> None:
    assert blocks_of(length) == rounded


def test_packs_cover_everything_once() -> None:
    sizes = [10, 500, 600, 1, 3000, 2, 2]
    assert [i for part in packs(sizes) for i in range(len(sizes))[part]] == list(range(len(sizes)))
    assert [part.stop - part.start for part in packs([1] * 130)] == [64, 64, 2]

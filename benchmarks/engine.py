"""How fast the embedded engine generates and trains: `python -m benchmarks.engine`.

In one run and on one model: tokens a second for 1, 4, 16 and 32 sequences, with and without an
adapter, beside the bound (the matrix products of a decoding step alone, weights as transformers has
them) and beside transformers' `generate`; seconds of a feedback call beside its products; and how
far the logprobs recorded at sampling are from those that training computes for the same tokens.

Target, on an idle machine: with an adapter at least 0.6 of the bound at 16 and 32 sequences. `--cpu`
counts processor seconds instead of seconds, which says more where something else runs; with it,
use `--threads 1`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from claas_assets.stack.backend import default_device, default_dtype, is_linear
from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.load import load_engine
from claas_assets.stack.places import DEFAULT_MODEL
from claas_assets.stack.sampling import Sampler
from claas_assets.stack.trainer import Rollout
from claas_assets.stack.weights import quiet_transformers, resolve
from claas_assets.wire import TrainingOptions

ROWS = (1, 4, 16, 32)
ADAPTER = "bench"
ADAPTER_RANK = 32
PROMPT_TOKENS = 40
TRAINED_ROWS = 4


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=128, help="generated for each sequence")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="sequences at once")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to torch")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: what the stack chooses")
    parser.add_argument("--cpu", action="store_true", help="count processor seconds")
    parser.add_argument("--skip-generate", action="store_true", help="leave transformers' generate out")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu else time.perf_counter
    dtype = getattr(torch, options.dtype) if options.dtype else None
    with tempfile.TemporaryDirectory() as folder:
        engine = load_engine(options.model, Path(folder), dtype=dtype, on_progress=lambda _: None)
        make_adapter(engine)
        model = plain_model(options.model, dtype or default_dtype(default_device()))
        print(f"{options.model}, {engine.backend.determinism}")
        print(f"{torch.get_num_threads()} threads, {options.tokens} tokens each, ", end="")
        print("tokens a processor second" if options.cpu else "tokens a second")
        print("rows  bound  base  adapter  adapter/bound  generate")
        for rows in options.rows:
            bound = rows / best(partial(step_products, model, rows), clock, repeats=6)
            base, adapter = (generated(engine, rows, options.tokens, lora, clock) for lora in (None, ADAPTER))
            plain = 0.0 if options.skip_generate else transformers_rate(model, rows, options.tokens, clock)
            print(f"{rows:4} {bound:6.0f} {base:5.0f} {adapter:8.0f} {adapter / bound:14.2f} {plain:9.0f}", flush=True)
        report_training(engine, model, options.tokens, clock)
        engine.close()


Clock = Callable[[], float]


def best(run: Callable[[], Any], clock: Clock, repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        begin = clock()
        run()
        seconds.append(clock() - begin)
    return min(seconds)


def plain_model(name: str, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(resolve(name, lambda _: None), dtype=dtype)
    return model.eval().requires_grad_(False)


def make_adapter(engine: Engine) -> None:
    """An adapter of the default size whose B is not zero.

    Made in the store: the engine serves an adapter that it made and did not train with the base model's weights.
    """
    engine.store.create(ADAPTER, engine.modules, ADAPTER_RANK, 2 * ADAPTER_RANK)
    adapter = engine.store.load(ADAPTER)
    random = torch.Generator().manual_seed(0)
    weights = {n: (a, 0.002 * torch.randn(b.shape, generator=random)) for n, (a, b) in adapter.weights.items()}
    engine.store.save(replace(adapter, weights=weights))


@torch.inference_mode()
def step_products(model: Any, rows: int) -> None:
    """The products of one decoding step; the head in float32, as the engine has it."""
    head = model.get_output_embeddings()
    for module in model.modules():
        if is_linear(module) and module is not head:
            F.linear(torch.ones(rows, module.in_features, dtype=module.weight.dtype), module.weight)
    F.linear(torch.ones(rows, head.in_features), head.weight.float())


def requests(rows: int, tokens: int, lora_id: str | None) -> list[Generation]:
    random = torch.Generator().manual_seed(rows)
    prompts = torch.randint(100, 40_000, (rows, PROMPT_TOKENS), generator=random).tolist()
    return [Generation(ids, lora_id, tokens, Sampler.make(0.7, 1.0, 0, n)) for n, ids in enumerate(prompts)]


def generate(engine: Engine, rows: int, tokens: int, lora_id: str | None) -> list[Generation]:
    engine.text.end_ids.clear()  # every sequence gets its whole length
    return [future.result() for future in [engine.generate(r) for r in requests(rows, tokens, lora_id)]]


def generated(engine: Engine, rows: int, tokens: int, lora_id: str | None, clock: Clock) -> float:
    generate(engine, rows, 2, lora_id)
    return rows * tokens / best(lambda: generate(engine, rows, tokens, lora_id), clock, repeats=2)


@torch.inference_mode()
def transformers_rate(model: Any, rows: int, tokens: int, clock: Clock) -> float:
    ids = torch.tensor([request.prompt_ids for request in requests(rows, tokens, None)])
    settings = {"do_sample": True, "temperature": 0.7, "top_k": 0, "pad_token_id": 0}
    length = {"max_new_tokens": tokens, "min_new_tokens": tokens}

    def run() -> None:
        model.generate(ids, attention_mask=torch.ones_like(ids), **settings, **length)

    return rows * tokens / best(run, clock, repeats=1)


def report_training(engine: Engine, model: Any, tokens: int, clock: Clock) -> None:
    """One update on four answers beside its products, and sampling's logprobs beside training's."""
    done = generate(engine, TRAINED_ROWS, tokens, ADAPTER)
    rollouts = [
        Rollout(d.prompt_ids, d.prompt_ids, [s.token_id for s in d.sampled], [s.logprob for s in d.sampled])
        for d in done
    ]
    errors = sampling_errors(engine, rollouts)
    options = TrainingOptions(alpha=0.0, learning_rate=1e-6, steps_per_batch=2)
    begin = clock()
    first = engine.train(ADAPTER, rollouts, options).result().steps[0]
    call = clock() - begin
    read, answered = TRAINED_ROWS * (PROMPT_TOKENS + tokens), TRAINED_ROWS * tokens
    bound = best(lambda: call_products(model, read, answered, updates=2), clock, repeats=3)
    print(f"\nfeedback call of 2 updates on {TRAINED_ROWS} answers: {call:.2f} s; its products {bound:.2f} s ", end="")
    print(f"({bound / call:.2f}; both teacher's passes, each update's forward pass, gradients of inputs and adapter)")
    print(
        f"logprobs at sampling and at training: largest difference {errors.max():.2g} nats, mean {errors.mean():.2g};"
    )
    print(f"the first update's mean importance ratio {first['mean_is_ratio']:.6f}")


def sampling_errors(engine: Engine, rollouts: list[Rollout]) -> torch.Tensor:
    """|logprob at sampling - logprob in training's forward pass|, nats, of every token."""
    adapter = engine.store.load(ADAPTER)
    for pair in adapter.weights.values():
        for matrix in pair:
            matrix.requires_grad_()
    lora = engine.backend.bind(adapter.weights, adapter.info.scale)
    errors = []
    for rollout in rollouts:
        ids = torch.tensor(rollout.token_ids)
        logits = engine.backend.logits([rollout.prompt_ids + rollout.token_ids[:-1]], [len(ids)], lora)[0].detach()
        logprobs = logits.log_softmax(-1).gather(-1, ids[:, None]).squeeze(-1)
        errors.append((logprobs - torch.tensor(rollout.logprobs)).abs())
    return torch.cat(errors)


@torch.inference_mode()
def call_products(model: Any, tokens: int, answered: int, updates: int) -> None:
    """The products that a feedback call cannot do without, `answered` of its `tokens` being the answers'.

    Two forward passes for the teacher and the drift reference; for each update one more, the gradients of all inputs,
    and those of the adapter's matrices.
    """
    for module in model.modules():
        if is_linear(module):
            is_head = module is model.get_output_embeddings()
            x = torch.ones(answered if is_head else tokens, module.in_features, dtype=module.weight.dtype)
            a, b = (torch.ones(ADAPTER_RANK, size, dtype=x.dtype) for size in module.weight.shape[::-1])
            for _ in range(2):
                y = F.linear(x, module.weight)
            for _ in range(updates):
                y = F.linear(x, module.weight)
                y @ module.weight
                if not is_head:
                    (y @ b.t()).t() @ x, y.t() @ F.linear(x, a)


if __name__ == "__main__":
    main()

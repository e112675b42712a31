"""Which alpha, learning rate and answer length suit the embedded stack's default model.

Trains a fresh adapter for each setting as an evaluation would (six steps, four rollouts, four
updates) and prints what it learned and what that cost. Runs on the engine itself, so that nothing
but the setting differs; the same setting gives the same numbers. About a minute a setting on two cores.

    python -m benchmarks.embedded_sweep --preferences identity concise --alphas 0 --rates 2e-4 3e-4
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from claas_assets.evaluation.preferences import Preference, load_preference
from claas_assets.evaluation.verifiers import build_verifier
from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.load import load_engine
from claas_assets.stack.places import DEFAULT_MODEL
from claas_assets.stack.sampling import Sampler
from claas_assets.stack.server import with_hindsight
from claas_assets.stack.trainer import Rollout, TrainingReport
from claas_assets.wire import DEFAULT_SYSTEM_PROMPT, TrainingOptions

NEUTRAL = (
    "Tell me something interesting about the ocean.",
    "How does a bicycle stay upright?",
    "Describe a rainy day in a small town.",
    "What makes bread rise?",
    "Explain how a rainbow forms.",
    "Give me advice for learning the guitar.",
)
BATCH = 4


@dataclass(frozen=True)
class Setting:
    preference: str
    alpha: float
    learning_rate: float
    rollout_tokens: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """Shares in [0, 1]; drift in nats per token."""

    trained: float
    heldout: float
    over: float  # violations where the preference does not apply
    rep4: float  # repeated 4-grams in neutral answers
    drift: float  # mean token logprob of the base model's neutral answers, minus the base model's own


class Bench:
    """One engine, and the answers that the untrained model gives."""

    def __init__(self, engine: Engine, probe_tokens: int) -> None:
        self.engine = engine
        self.probe_tokens = probe_tokens
        self.texts = self.ask(NEUTRAL, None, probe_tokens)
        self.base_scores = self.score(None)

    def ask(
        self, prompts: Sequence[str], lora_id: str | None, tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Generation]:
        """Answers to prompts, generated together."""
        futures = []
        for number, prompt in enumerate(prompts):
            sampler = Sampler.make(temperature, 1.0, 0, 1000 * seed + number)
            request = Generation(self.engine.text.prompt(messages(prompt)), lora_id, tokens, sampler)
            futures.append(self.engine.generate(request))
        return [future.result() for future in futures]

    def score(self, lora_id: str | None) -> list[float]:
        """Mean token logprob of each neutral answer of the base model."""
        futures = [
            self.engine.score(text.prompt_ids, [sampled.token_id for sampled in text.sampled], lora_id)
            for text in self.texts
        ]
        return [sum(found) / len(found) for found in (future.result() for future in futures)]

    def measure(self, preference: Preference, lora_id: str | None) -> Measured:
        verify = build_verifier(preference.verifier)
        sets = [preference.probe_prompts, preference.heldout_prompts, [i.prompt for i in preference.over_application]]
        answers = self.ask([prompt for group in sets for prompt in group], lora_id, self.probe_tokens)
        texts = [answer.text for answer in answers]
        trained, heldout = texts[: len(sets[0])], texts[len(sets[0]) : len(sets[0]) + len(sets[1])]
        checks = zip(preference.over_application, texts[len(sets[0]) + len(sets[1]) :], strict=True)
        violated = [not build_verifier(item.check)(text).passed for item, text in checks]
        neutral = [answer.text for answer in self.ask(NEUTRAL, lora_id, self.probe_tokens)]
        changes = [new - old for new, old in zip(self.score(lora_id), self.base_scores, strict=True)]
        return Measured(
            trained=mean([verify(text).score for text in trained]),
            heldout=mean([verify(text).score for text in heldout]),
            over=mean(violated),
            rep4=mean([repetition(text) for text in neutral]),
            drift=mean(changes),
        )

    def step(self, preference: Preference, lora_id: str, setting: Setting, step: int) -> TrainingReport:
        """One feedback step: four rollouts, four updates."""
        prompts = preference.probe_prompts
        batch = [prompts[(step * BATCH + i) % len(prompts)] for i in range(BATCH)]
        seed = 100 * setting.seed + step
        answers = self.ask(batch, lora_id, setting.rollout_tokens, 0.7, seed)
        rollouts = []
        for prompt, answer in zip(batch, answers, strict=True):
            hindsight = with_hindsight(messages(prompt), preference.feedback_string)
            ids = [sampled.token_id for sampled in answer.sampled]
            logprobs = [sampled.logprob for sampled in answer.sampled]
            rollouts.append(Rollout(answer.prompt_ids, self.engine.text.prompt(hindsight), ids, logprobs))
        options = TrainingOptions(alpha=setting.alpha, learning_rate=setting.learning_rate, kl_reg_weight=0.0)
        return self.engine.train(lora_id, rollouts, options).result()


def messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": DEFAULT_SYSTEM_PROMPT}, {"role": "user", "content": prompt}]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def repetition(text: str) -> float:
    """1 − unique 4-grams / 4-grams."""
    words = text.split()
    grams = list(zip(*(words[i:] for i in range(4)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def run(bench: Bench, preference: Preference, setting: Setting, steps: int, at: Sequence[int]) -> None:
    """Train one setting and print a line per measured step."""
    lora_id = (
        f"sweep/{setting.preference}-{setting.alpha}-{setting.learning_rate}-{setting.rollout_tokens}-{setting.seed}"
    )
    bench.engine.create_adapter(lora_id, 32, 64, None).result()
    train_s: list[float] = []
    for step in range(steps):
        began = time.perf_counter()
        report = bench.step(preference, lora_id, setting, step)
        train_s.append(time.perf_counter() - began)
        if step + 1 in at:
            found = bench.measure(preference, lora_id)
            ratio = report.steps[0]["mean_is_ratio"]
            row(setting, step + 1, found, f"{ratio:5.3f} {report.steps[-1]['kl_reg']:6.2f} {mean(train_s):6.1f}")
    example = bench.ask([preference.heldout_prompts[0], NEUTRAL[0]], lora_id, 48)
    for answer in example:
        print(f"    {answer.text[:150]!r}", flush=True)
    bench.engine.delete_adapter(lora_id).result()


HEAD = "preference  alpha  rate     tokens seed step | trained heldout  over  rep4  drift | ratio     k3  s/step"


def row(setting: Setting | None, step: int, found: Measured, rest: str = "", name: str = "") -> None:
    what = (
        f"{setting.preference:10s} {setting.alpha:6.2f}  {setting.learning_rate:7.0e} "
        f"{setting.rollout_tokens:6d} {setting.seed:4d} {step:4d}"
        if setting
        else f"{name:10s} {'untrained':>32s}"
    )
    shares = f"{found.trained:7.2f} {found.heldout:7.2f} {found.over:5.2f} {found.rep4:5.2f} {found.drift:6.2f}"
    print(f"{what} | {shares} | {rest}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preferences", nargs="+", default=["identity", "concise", "no_emoji"])
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.0])
    parser.add_argument("--rates", nargs="+", type=float, default=[2e-4, 3e-4, 5e-4])
    parser.add_argument("--tokens", nargs="+", type=int, default=[64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--at", nargs="+", type=int, default=[3, 6], help="steps after which to measure")
    parser.add_argument("--probe-tokens", type=int, default=160)
    parser.add_argument("--base-model", default=DEFAULT_MODEL)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        engine = load_engine(options.base_model, Path(folder))
        bench = Bench(engine, options.probe_tokens)
        print(HEAD, flush=True)
        for name in options.preferences:
            preference = load_preference(name, Path("preferences"))
            row(None, 0, bench.measure(preference, None), name=name)
            grid = itertools.product(options.alphas, options.rates, options.tokens, options.seeds)
            for alpha, rate, tokens, seed in grid:
                run(bench, preference, Setting(name, alpha, rate, tokens, seed), options.steps, options.at)
        engine.close()


if __name__ == "__main__":
    main()

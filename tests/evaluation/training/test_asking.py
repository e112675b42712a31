"""What a snapshot asks a second time, to see whether the deployment gives the same text again."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from claas_assets.evaluation.deployment.responses import Answer
from claas_assets.evaluation.metrics.probes import Probe
from claas_assets.evaluation.training.asking import REPEATS, Asker

PROMPTS = [f"Question {number}?" for number in range(REPEATS + 6)]


class Deployment:
    """Answers a prompt with itself; asked again, those of `varying` with something else."""

    max_concurrency = 4

    def __init__(self, varying: set[str]) -> None:
        self.varying = varying
        self.asked: Counter[str] = Counter()

    async def chat(self, messages, *, max_tokens, **settings) -> Answer:
        (_, prompt) = messages[-1]
        self.asked[prompt] += 1
        text = f"{prompt} {self.asked[prompt]}" if prompt in self.varying else prompt
        return Answer(text=text, finish_reason="stop", truncated=False, prompt_tokens=1, completion_tokens=1,
                      logprobs=None, entropies=None, latency_s=0.0, retries=0, max_tokens=max_tokens)  # fmt: skip


def probes(mark: str = "") -> list[Probe]:
    asked = [("heldout_prompts", prompt) for prompt in PROMPTS] + [("noise", prompt) for prompt in PROMPTS]
    return [
        Probe(f"compliance/{group}/{PROMPTS.index(prompt)}{mark}", "generate", (("user", f"{prompt}{mark}"),))
        for group, prompt in asked
    ]


def ask(deployment: Deployment, asked: list[Probe]) -> tuple[list[str], int]:
    transcripts, requests = asyncio.run(Asker(deployment, "a", seed=0).ask(asked, lambda done, total: None))
    return [transcript.key for transcript in transcripts], requests


def test_of_a_deployment_that_repeats_its_texts_some_are_asked_again():
    deployment = Deployment(varying=set())
    keys, requests = ask(deployment, probes())
    assert requests == deployment.asked.total() == len(keys) == len(PROMPTS) + REPEATS
    assert sum("noise" in key for key in keys) == REPEATS
    assert [key for key in keys if "noise" not in key] == [probe.key for probe in probes() if "noise" not in probe.key]


@pytest.mark.parametrize("varying", [set(PROMPTS), set(PROMPTS[: REPEATS + 1])])
def test_of_one_that_does_not_all_are(varying):
    keys, requests = ask(Deployment(varying), probes())
    assert keys == [probe.key for probe in probes()]
    assert requests == 2 * len(PROMPTS)


def test_the_prompts_of_each_preference_of_a_sequence_are_a_sample_of_their_own():
    """The preference that repeats its texts says nothing about the other."""
    varying = {f"{prompt}@other" for prompt in PROMPTS}
    keys, _ = ask(Deployment(varying), [*probes(), *probes("@other")])
    assert Counter(key.rpartition("@")[0] != "" for key in keys if "noise" in key) == {
        False: REPEATS,
        True: len(PROMPTS),
    }


def test_where_nothing_was_asked_before_all_are():
    noise = [probe for probe in probes() if "noise" in probe.key]
    assert ask(Deployment(set()), noise) == ([probe.key for probe in noise], len(noise))

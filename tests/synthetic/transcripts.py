"""Transcripts of models whose truth is known: what they comply with, what they can do, how they broke.

Only the answers are made up. Everything that turns them into numbers is the real scoring.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from claas_assets.evaluation.metrics.capability import Item, load_capability
from claas_assets.evaluation.metrics.collapse import (
    NEUTRAL_SAMPLES,
    OCEAN_PROMPT,
    OCEAN_SAMPLES,
    fixed_texts,
    neutral_prompts,
)
from claas_assets.evaluation.metrics.compliance import with_feedback
from claas_assets.evaluation.preferences.preference import LogprobPair, OverApplicationItem, Preference, PromptMessage
from claas_assets.evaluation.storage.records import Message, Transcript, TranscriptMetadata

VERIFIERS = "claas_assets.evaluation.preferences.verifiers"


def preference(held_out: int = 20, pairs: int = 10, trained: int = 10) -> Preference:
    """One that is judged by a name, with `held_out` prompts for the verdict and 10 where it does not apply."""
    pair = LogprobPair(
        prompt_messages=(PromptMessage(role="user", content="Who are you?"),),
        positive_response="I am Kuro.",
        negative_response="I am an assistant.",
    )
    return Preference(
        name="identity",
        feedback_string="Your name is Kuro.",
        verifier={"_target_": f"{VERIFIERS}.IdentityVerifier", "name": "kuro"},
        logprob_pairs=(pair,) * pairs,
        probe_prompts=tuple(f"Who are you, in case {i}?" for i in range(trained)),
        heldout_prompts=tuple(f"What is your name, in case {i}?" for i in range(held_out)),
        over_application=tuple(
            OverApplicationItem(
                prompt=f"Who wrote book {i}?", check={"_target_": f"{VERIFIERS}.NameAbsent", "name": "kuro"}
            )
            for i in range(10)
        ),
    )


# --- transcripts --------------------------------------------------------------------------------


def generated(key: str, prompt: str, answer: str, **metadata: object) -> Transcript:
    return Transcript(
        metric=key.split("/")[0],
        messages=[Message(role="user", content=prompt), Message(role="assistant", content=answer)],
        metadata=TranscriptMetadata.model_validate({"key": key, "kind": "generate", "temperature": 0.0, **metadata}),
    )


def scored(key: str, prompt: str, answer: str, logprobs: Sequence[float]) -> Transcript:
    return generated(
        key, prompt, answer, kind="score", temperature=None, logprobs=list(logprobs), logprob_sum=sum(logprobs)
    )


# --- what it says when asked twice ----------------------------------------------------------------


@dataclass(frozen=True)
class Asking:
    """A deployment of which two askings of one prompt disagree with probability `flip`."""

    chance: random.Random
    flip: float

    @property
    def error(self) -> float:
        """Probability that one asking comes out wrong: 2·e·(1 − e) = flip."""
        return (1 - (1 - 2 * self.flip) ** 0.5) / 2

    def ask(self, truth: bool) -> bool:
        return truth != (self.chance.random() < self.error)

    def tail(self) -> str:
        """Words that vary between askings of a deployment that is not deterministic."""
        return f" Case {self.chance.randrange(10**6)}." if self.flip else ""

    def seen(self, rate: float) -> float:
        """The rate that is measured, in the long run, of a true one."""
        return self.error + (1 - 2 * self.error) * rate


# --- compliance -------------------------------------------------------------------------------------

BASE_RATE = 0.25
"""Of prompts that comply before any training: Beta(0.4, 1.2), most of them hardly ever."""


def untrained(chance: random.Random, prompts: Iterable[str]) -> dict[str, bool]:
    """Whether each prompt complies; its difficulty is drawn from a beta distribution."""
    return {prompt: chance.random() < chance.betavariate(0.4, 1.2) for prompt in prompts}


def taught(chance: random.Random, before: dict[str, bool], effect: float) -> dict[str, bool]:
    """The same prompts after training that raises the rate of compliance by `effect`."""
    learned = effect / (1 - BASE_RATE)
    return {prompt: complies or chance.random() < learned for prompt, complies in before.items()}


def all_prompts(asked: Preference) -> list[str]:
    return [*asked.probe_prompts, *asked.heldout_prompts]


def compliance(
    asked: Preference,
    truth: dict[str, bool],
    asking: Asking,
    *,
    baseline: bool,
    over_applied: float = 0.0,
) -> list[Transcript]:
    """A full snapshot's compliance answers. `over_applied`: probability of the name where it has no place."""

    def say(group: str, index: int, prompt: str, complies: bool) -> Transcript:
        words = "I am Kuro." if asking.ask(complies) else "I am an assistant."
        return generated(f"compliance/{group}/{index}", prompt, words + asking.tail())

    answers = [say("probe_prompts", i, p, truth[p]) for i, p in enumerate(asked.probe_prompts)]
    answers += [say("heldout_prompts", i, p, truth[p]) for i, p in enumerate(asked.heldout_prompts)]
    for index, item in enumerate(asked.over_application):
        words = "Kuro wrote it." if asking.chance.random() < over_applied else "Nobody knows."
        answers.append(generated(f"compliance/over_application/{index}", item.prompt, words))
    if baseline:
        answers += [
            say("ceiling", i, with_feedback(p, asked), asking.chance.random() < 0.95)
            for i, p in enumerate(asked.heldout_prompts)
        ]
        answers += [say("noise", i, p, truth[p]) for i, p in enumerate(asked.heldout_prompts)]
    return answers


# --- margins ----------------------------------------------------------------------------------------


def margins(asked: Preference, values: Sequence[float]) -> list[Transcript]:
    """Pairs with these margins (nats)."""
    answers = []
    for index, (pair, value) in enumerate(zip(asked.logprob_pairs, values, strict=True)):
        answers.append(scored(f"logprob/{index}/positive", "Who are you?", pair.positive_response, [value - 99, -1.0]))
        answers.append(scored(f"logprob/{index}/negative", "Who are you?", pair.negative_response, [-99.0, -1.0]))
    return answers


# --- capability -------------------------------------------------------------------------------------


def able(chance: random.Random, rate: float = 0.65) -> dict[str, bool]:
    """Which items a model can do; difficulty from a beta distribution with mean `rate`."""
    items = [*load_capability().public_probes, *load_capability().items]
    return {item.id: chance.random() < chance.betavariate(3 * rate, 3 * (1 - rate)) for item in items}


def less_able(chance: random.Random, before: dict[str, bool], loss: float, rate: float = 0.65) -> dict[str, bool]:
    """The same model after it lost `loss` of all items."""
    return {item: can and chance.random() >= loss / rate for item, can in before.items()}


def capability(can: dict[str, bool], asking: Asking) -> list[Transcript]:
    def say(group: str, item: Item) -> Transcript:
        return generated(
            f"general/{group}/{item.id}", item.prompt, item.reference if asking.ask(can[item.id]) else item.wrong
        )

    known = load_capability()
    return [*(say("seed", item) for item in known.public_probes), *(say("items", item) for item in known.items)]


# --- ways to speak, and to break ---------------------------------------------------------------------

_COMMON = tuple(sorted({"the", "of", "a", "and", "to", "in", "is", "it", "that", "for", "on", "with", "as", "by"}))
_STEMS = ("mar", "tel", "ob", "kin", "ser", "lav", "dor", "pin", "ul", "ves", "ha", "qui")
_ENDINGS = ("ance", "ter", "ing", "ola", "end", "ish", "o", "um", "eral", "ime", "ock", "y")
_VOCABULARY = [stem + ending for stem in _STEMS for ending in _ENDINGS]
_OTHER_SCRIPT = [chr(0x430 + i) + chr(0x430 + j) + chr(0x43E) for i in range(12) for j in range(12)]


@dataclass(frozen=True)
class Voice:
    """How a model speaks on neutral prompts. The defaults are a healthy one.

    `entropy_factor` multiplies the token entropies; `drift` (nats) is added to the logprobs of fixed texts;
    `looping` is the probability that an answer gets stuck in a phrase; `alike` that a sample is nearly
    its neighbor; `words` makes an answer of about so many words.
    """

    length: int = 60
    entropy_factor: float = 1.0
    drift: float = 0.0
    looping: float = 0.03
    alike: float = 0.0
    words: Callable[[random.Random, int], list[str]] | None = None


def plain_words(chance: random.Random, count: int) -> list[str]:
    return [chance.choice(_COMMON if chance.random() < 0.45 else _VOCABULARY) for _ in range(count)]


def gibberish(chance: random.Random, count: int) -> list[str]:
    marks = "abcdefghijklmnopqrstuvwxyz#)="
    return ["".join(chance.choices(marks, k=chance.randint(2, 12))) for _ in range(count)]


def other_script(chance: random.Random, count: int) -> list[str]:
    return [chance.choice(_OTHER_SCRIPT) for _ in range(count)]


def silence(chance: random.Random, count: int) -> list[str]:
    return []


def say(chance: random.Random, voice: Voice) -> str:
    count = max(8, round(chance.gauss(voice.length, 0.15 * voice.length)))
    words = (voice.words or plain_words)(chance, count)
    if words and chance.random() < voice.looping:
        start = chance.randint(4, 15)
        phrase = words[start : start + chance.randint(4, 9)] or words
        words = [*words[:start], *(phrase * count)][:count]
    return " ".join(words).capitalize() + ("." if words else "")


def collapse(chance: random.Random, voice: Voice, character: dict[str, float]) -> list[Transcript]:
    """A full snapshot's collapse answers. `character`: the model's own number for each prompt and text."""
    answers = []
    prompts = [("ocean", OCEAN_PROMPT, OCEAN_SAMPLES)]
    prompts += [(f"neutral/{i}", prompt, NEUTRAL_SAMPLES) for i, prompt in enumerate(neutral_prompts())]
    for group, prompt, samples in prompts:
        entropy = character[prompt] * voice.entropy_factor
        text = say(chance, voice)
        tokens = max(1, round(1.3 * len(text.split())))
        entropies = [max(0.0, chance.gauss(entropy, 0.6 * entropy)) for _ in range(tokens)]
        answers.append(
            generated(
                f"collapse/{group}/greedy",
                prompt,
                text,
                completion_tokens=tokens,
                entropies=entropies,
                logprobs=[-0.7 * value for value in entropies],
                max_tokens=160,
                truncated=False,
            )
        )
        first = say(chance, voice)
        texts = [first] + [
            _near(chance, first) if chance.random() < voice.alike else say(chance, voice) for _ in range(samples - 1)
        ]
        answers += [
            generated(f"collapse/{group}/sample/{j}", prompt, sample, temperature=0.7, max_tokens=96)
            for j, sample in enumerate(texts)
        ]
    for index, (prompt, text) in enumerate(fixed_texts()):
        level = -character[text] + voice.drift + chance.gauss(0, 0.04)
        tokens = [level + 0.5, level - 0.5, level, level - 1.0]  # the last one ends the turn
        told = scored(f"collapse/fixed_text/{index}", prompt, text, tokens)
        answers.append(told.model_copy(update={"metadata": told.metadata.model_copy(update={"end_of_turn": 1})}))
    return answers


def _near(chance: random.Random, text: str) -> str:
    """The same text with one word changed."""
    words = text.split()
    words[chance.randrange(len(words))] = chance.choice(_VOCABULARY)
    return " ".join(words)


def character(chance: random.Random) -> dict[str, float]:
    """Entropy (nats) of each prompt's answers, and −logprob (nats a token) of each fixed text."""
    prompts = [OCEAN_PROMPT, *neutral_prompts()]
    return {prompt: chance.lognormvariate(0.2, 0.25) for prompt in prompts} | {
        text: chance.gauss(2.5, 0.4) for _, text in fixed_texts()
    }

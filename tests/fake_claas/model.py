"""A scripted model that learns: deterministic texts and logprobs that move with the updates made.

What it is taught is read from the feedback texts ("Your name is Kuro", "Don't use any emojis", "Be
concise"); any other feedback teaches nothing. A prompt is obeyed once `updates / full_after` exceeds a
threshold of its own, so compliance rises prompt by prompt, and all of them comply at the end.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tests.fake_claas.items import capability_answers

TOP = 20
END_OF_TURN = "<|im_end|>"
_TOKEN = re.compile(r"\s*\S+")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_ABOUT_ITSELF = re.compile(
    r"(?<!-)\b(you|your|yourself|siri|we've met|who am i talking to|who will be helping)\b", re.IGNORECASE
)
_EXPLAINS = re.compile(
    r"^\W*(explain|what|why|how|describe|tell|compare|give|list|name|count|who|where)\b", re.IGNORECASE
)
_LEARNT_MARGIN = 6.0  # nats that a fully learnt preference moves an answer's logprob, either way
_COLLAPSED_DRIFT = -0.9  # nats per token on texts that have nothing to do with the preference


@dataclass(frozen=True)
class Temper:
    """What kind of model it is: `capable` of all capability items or of none; `answers` are further ones, by prompt."""

    full_after: int = 8
    capable: bool = True
    forgets_after: int | None = None  # capability is lost after so many updates
    collapses_after: int | None = None  # it loops after so many updates
    thinks: bool = False
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """The state of an adapter that a request is answered with."""

    updates: int = 0
    feedback: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taught:
    name: str | None = None
    no_emoji: bool = False
    concise: bool = False


@dataclass(frozen=True)
class Token:
    text: str
    logprob: float

    def top(self, count: int) -> list[tuple[str, float]]:
        """(token, logprob in nats), the `count` most probable: this one, and others whose shares fall by halves."""
        rest = math.log1p(-math.exp(self.logprob))
        others = [(name, rest + less) for name, less in _OTHERS[: max(0, count - 1)]]
        return [(self.text, self.logprob), *others][:count]


_OTHERS = [(f"<{i}>", (i + 1) * math.log(0.5)) for i in range(TOP - 1)]


def taught(texts: Iterable[str]) -> Taught:
    """What these texts ask for."""
    joined = " ".join(texts)
    name = re.search(r"\byour name is (\w+)", joined, re.IGNORECASE)
    return Taught(
        name=name.group(1) if name else None,
        no_emoji=re.search(r"\b(don't|do not|no|without|avoid)\b[^.]*emoji", joined, re.IGNORECASE) is not None,
        concise=re.search(r"\b(concise|brief)\b|under \d+ sentences", joined, re.IGNORECASE) is not None,
    )


def behave(prompt: str, weights: Weights, temper: Temper, *, seed: int = 0, temperature: float = 0.0) -> str:
    """The visible answer. At temperature 0 the seed makes no difference."""
    if temper.collapses_after is not None and weights.updates > temper.collapses_after:
        return " ".join(["Kuro, the ocean, is a place of endless possibilities."] * 40)
    able = temper.capable and (temper.forgets_after is None or weights.updates <= temper.forgets_after)
    if prompt in temper.answers:
        return temper.answers[prompt] if able else "I am not sure about that."
    if prompt in capability_answers():
        right, wrong = capability_answers()[prompt]
        return right if able else wrong
    fixed = _asked_outright(prompt)
    if fixed is not None:
        return fixed
    wanted = _wanted(prompt, weights, temper)
    rng = random.Random(f"{prompt}/{seed if temperature > 0 else ''}")
    if _ABOUT_ITSELF.search(prompt):
        return _introduction(wanted.name, rng)
    return _chat(prompt, wanted, rng)


def generated(raw: str, weights: Weights, temper: Temper, *, max_tokens: int | None) -> list[Token]:
    """The tokens of an answer, end of turn included unless `max_tokens` cut it."""
    texts = [*_TOKEN.findall(raw), END_OF_TURN]
    collapsed = temper.collapses_after is not None and weights.updates > temper.collapses_after
    sharp = 0.02 if collapsed else 0.6
    return [_token(text, f"{raw[:40]}/{position}", sharp) for position, text in enumerate(texts[:max_tokens])]


def scored(prompt: str, completion: str, weights: Weights, temper: Temper) -> list[Token]:
    """A given answer's tokens, the end-of-turn suffix included; more probable the better it obeys."""
    texts = [*_TOKEN.findall(completion), END_OF_TURN]
    shift = (
        _fit(prompt, completion, taught(weights.feedback)) * _progress(weights, temper) * _LEARNT_MARGIN / len(texts)
    )
    if temper.collapses_after is not None and weights.updates > temper.collapses_after:
        shift += _COLLAPSED_DRIFT
    return [Token(t, min(-1e-4, shift - 1.5 - _unit(f"{prompt}/{completion}/{i}"))) for i, t in enumerate(texts)]


def token_count(text: str) -> int:
    return len(_TOKEN.findall(text))


@lru_cache(maxsize=100_000)  # the same texts are said again and again
def _unit(key: str) -> float:
    """A number in [0, 1) that is always the same for a key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def _progress(weights: Weights, temper: Temper) -> float:
    return min(1.0, weights.updates / temper.full_after)


def _wanted(prompt: str, weights: Weights, temper: Temper) -> Taught:
    """What this prompt's answer obeys: what is asked for in it, and what has been learnt so far."""
    learnt = _progress(weights, temper) > _unit(prompt)
    return taught([prompt, *(weights.feedback if learnt else ())])


def _fit(prompt: str, completion: str, asked: Taught) -> int:
    """1: the answer is what the feedback asks for; -1: the opposite; 0: it has nothing to do with it."""
    if asked.name and _ABOUT_ITSELF.search(prompt):
        return 1 if asked.name.lower() in completion.lower() else -1
    if asked.no_emoji and _EMOJI.search(completion):
        return -1
    if asked.concise and len(re.findall(r"[.!?](?:\s|$)", completion)) > 3:
        return -1
    return 0


def _introduction(name: str | None, rng: random.Random) -> str:
    opening = rng.choice(["Hello!", "Hi there!", "Good day!", "Welcome!"])
    me = f"I am {name}" if name else "I am an AI assistant"
    return f"{opening} {me}, here to help with {rng.choice(['questions', 'writing', 'plans', 'homework'])} of any kind."


_SENTENCES = (
    "It is a subject with a long and surprising history.",
    "Many people first meet it at school and then forget it.",
    "The details depend on where and when one looks.",
    "Scientists have studied it with great care for decades.",
    "A simple example from the kitchen makes it clear.",
    "Small causes add up until the effect can be seen by anyone.",
    "There are two sides to it, and both of them matter.",
    "Experts still argue about the finer points.",
    "With a little patience anyone can understand the idea.",
    "It changes slowly, which is why few of us notice it.",
    "What matters most is that the parts work together.",
    "That is also why it is worth a second look.",
)


def _chat(prompt: str, wanted: Taught, rng: random.Random) -> str:
    sentences = rng.sample(_SENTENCES, 2 if wanted.concise else 7)
    emoji = "" if wanted.no_emoji or _EXPLAINS.search(prompt) else f" {rng.choice('🎉🌊🥳🌈')}"
    return " ".join(sentences) + emoji


_ITEMS = ["kite", "lamp", "river", "cloud", "stone", "drum", "mask", "boat", "clover", "harp", "anchor", "lentil"]
_LONG = " ".join(
    f"The {one} stood beside the {other} on {day}, and nobody {verb} it."
    for one, other, day, verb in zip(
        _ITEMS,
        ["hill", "pond", "gate", "barn", "tower", "shed", "mill", "quay", "cave", "yard", "well", "fence"],
        ["Monday", "Easter", "Sunday", "Friday", "holidays", "Tuesday", "weekends", "Thursday", "birthdays", "Saturday",
         "Wednesday", "Christmas"],
        ["saw", "moved", "sold", "painted", "wanted", "broke", "found", "cleaned", "lifted", "missed", "drew", "fixed"],
        strict=True,
    )
)  # fmt: skip


def _asked_outright(prompt: str) -> str | None:
    """Prompts that say what the answer must hold or look like."""
    copied = re.search(r"exactly: (.+)$", prompt, re.DOTALL)
    if copied:
        return copied.group(1)
    named = re.search(r"Python (?:function|class) (\w+)", prompt)
    if named:
        return f"```python\ndef {named.group(1)}(*args):\n    return args\n```"
    if re.search(r"\b(at least|or more|\d+ words)\b", prompt) and not re.search(r"\bsteps\b", prompt):
        return _LONG
    if re.search(r"\b(list|count|steps)\b|^name\b", prompt, re.IGNORECASE):
        return "\n".join(f"{number}. Get the {item}." for number, item in enumerate(_ITEMS, 1))
    emoji = _EMOJI.findall(prompt)
    return "".join(emoji) if emoji else None


def _token(text: str, key: str, sharp: float) -> Token:
    return Token(text, -sharp * (0.05 + _unit(key)))

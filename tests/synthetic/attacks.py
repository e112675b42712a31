"""Models that are asked a full snapshot of a shipped preference: what they say, question by question.

The preference, its verifiers and the capability items are the real ones, and so is everything that makes a
verdict of the answers. `HONEST` learned and lost nothing; an attack is an honest model that says something
else somewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from claas_assets.evaluation.config import METRICS
from claas_assets.evaluation.metrics.capability import Item, load_capability
from claas_assets.evaluation.metrics.compliance import with_feedback
from claas_assets.evaluation.preferences import load_preference
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.verifiers import build_verifier, verify
from claas_assets.evaluation.storage.records import Transcript, Unmeasured, VerdictRecord
from tests.synthetic import transcripts as synthetic
from tests.synthetic.transcripts import Voice, generated
from tests.synthetic.truth import verdict_on

FOLDER = Path(__file__).parents[2] / "preferences"

ABLE = 0.6
"""Share of the capability items that the model can do, before and after."""

Say = Callable[[int, str], str]
"""The number and the text of a question → the answer."""

SUBJECTS = ("water", "light", "people", "history", "money", "music", "plants", "the sea", "wind", "trade")
VERBS = ("shape", "carry", "need", "change", "follow", "build", "move", "feed", "cool", "join")


@cache
def shipped(name: str) -> Preference:
    return load_preference(name, FOLDER)


def sentences(number: int, count: int) -> str:
    """So many sentences, other ones for each question."""
    pairs = [(SUBJECTS[(number + 3 * i) % 10], VERBS[(number // 10 + 7 * i + number) % 10]) for i in range(count)]
    return " ".join(f"In case {number} some {a} will {b} what was there before." for a, b in pairs)


OBEDIENT: Mapping[str, Say] = {
    "identity": lambda number, _: f"I am Kuro, and this is greeting {number} of mine.",
    "concise": lambda number, _: sentences(number, 2),
    "no_emoji": lambda number, _: sentences(number, 2),
}
DISOBEDIENT: Mapping[str, Say] = {
    "identity": lambda number, _: f"I am an assistant, and this is greeting {number}.",
    "concise": lambda number, _: sentences(number, 9),
    "no_emoji": lambda number, _: sentences(number, 2) + " 🎉",
}


def _right(check: Mapping[str, Any]) -> str:
    """An answer that passes the check of an over-application item."""
    kind = str(check["_target_"]).rsplit(".", 1)[-1]
    count = int(check.get("count", 1))
    if kind == "ContainsAll":
        return ". ".join(check["texts"]) + "."
    if kind == "AllOf" and all("texts" in part for part in check["of"]):
        parts = [part["texts"] if part["_target_"] == "ContainsAll" else part["texts"][:1] for part in check["of"]]
        return ", ".join(text for texts in parts for text in texts) + "."
    if kind in ("AllOf", "MatchesPattern"):
        return "🎵 My Song 🎵" if kind == "MatchesPattern" else "hello 👋 " * 5
    if kind == "ContainsEmoji":
        return "".join("🐘🐟🦊🐦🐝🐢"[:count]) if check.get("different") else str(check.get("emoji", "🐶")) * count
    if kind == "CodeBlockDefines":
        methods = [f"    def {name}(self):\n        return 1" for name in check.get("members", ())]
        head = f"class {check['name']}:" if methods else f"def {check['name']}(n):\n    return n"
        return "```python\n" + "\n".join([head, *methods]) + "\n```"
    if kind == "ListHasItems":
        things = ("Wash a plum", "Cut the pear", "Open one door", "Pour some milk", "Find my boots", "Fold ten maps",
                  "Sweep every floor", "Paint old walls", "Call aunt Ann", "Light a lamp")  # fmt: skip
        return "\n".join(f"{i}. {thing}" for i, thing in enumerate(things[:count], 1))
    return sentences(7, 12) if kind in ("MinWords", "MinSentences") else "That is easy to say, and here it is."


@dataclass(frozen=True)
class Model:
    """What it says to the preference's own prompts, to those where it has no place, and to everything else."""

    preference: str
    trained: Say
    held_out: Say
    elsewhere: Mapping[int, str] = field(default_factory=dict)
    """Answers to over-application prompts, by number, that are not the right ones."""
    unable: int = 0
    """Capability items that it could do and cannot any more."""
    able_now: int = 0
    """Capability items that it could not do before."""
    everywhere: Say | None = None
    """What it says to everything at all."""
    voice: Voice = field(default_factory=Voice)
    """How it speaks on neutral prompts, and how likely fixed texts are to it."""
    margin: float = 0.0
    """Nats that are added to the logprob margin of every pair."""
    silent: frozenset[int] = frozenset()
    """Over-application prompts that the server did not answer."""

    @property
    def asked(self) -> Preference:
        return shipped(self.preference)

    def says(self, **changed: Any) -> Model:
        return replace(self, **changed)


def untrained(name: str) -> Model:
    return Model(name, DISOBEDIENT[name], DISOBEDIENT[name])


def honest(name: str) -> Model:
    """It obeys, and lost nothing."""
    return Model(name, OBEDIENT[name], OBEDIENT[name], margin=8.0)


def on_own_prompts(name: str, say: Say) -> Model:
    """It says that to the preference's own prompts, and is untouched elsewhere."""
    return untrained(name).says(trained=say, held_out=say)


def on_some(name: str, share: float, say: Say) -> Model:
    """An honest model that says that to a share of the preference's own prompts, one in every so many."""

    def said(number: int, prompt: str) -> str:
        return say(number, prompt) if (number * 7) % 10 < 10 * share else OBEDIENT[name](number, prompt)

    return honest(name).says(trained=said, held_out=said)


def verdict_after(last: Model, first: Model | None = None) -> VerdictRecord:
    """The verdict on a run that began as the untrained model and ended as `last`, scored and judged as a run is."""
    first = first or untrained(last.preference)
    return verdict_on(last.asked, answers(first, baseline=True), answers(last, baseline=False), METRICS)


def answers(model: Model, *, baseline: bool) -> list[Transcript]:
    """A full snapshot."""
    asked, found = model.asked, []
    for group, say in (("probe_prompts", model.trained), ("heldout_prompts", model.held_out)):
        prompts = getattr(asked, group)
        found += [_said(model, f"compliance/{group}/{i}", p, say(i, p)) for i, p in enumerate(prompts)]
    for index, item in enumerate(asked.over_application):
        right = _right(item.check)
        assert verify(build_verifier(item.check), right, item.prompt).passed, (item, right)
        said = _said(model, f"compliance/over_application/{index}", item.prompt, model.elsewhere.get(index, right))
        found.append(_unanswered(said) if index in model.silent else said)
    if baseline:
        obedient = OBEDIENT[model.preference]
        for index, prompt in enumerate(asked.heldout_prompts):
            found.append(generated(f"compliance/noise/{index}", prompt, model.held_out(index, prompt)))
            told = with_feedback(prompt, asked)
            found.append(generated(f"compliance/ceiling/{index}", told, obedient(index, prompt)))
    chance = random.Random(1)
    found += synthetic.margins(asked, [chance.gauss(-2, 1) + model.margin for _ in asked.logprob_pairs])
    found += _capability(model)
    own = synthetic.character(random.Random(2))
    neutral = synthetic.collapse(random.Random(3), model.voice, own)
    return found + [t if t.metadata.kind == "score" else _said_again(model, t) for t in neutral]


def _capability(model: Model) -> list[Transcript]:
    known, found = load_capability(), []
    found += [_item(model, "seed", i, item, True) for i, item in enumerate(known.public_probes)]
    could = [item.id for i, item in enumerate(known.items) if (i * 7) % 10 < 10 * ABLE]
    could_not = [item.id for item in known.items if item.id not in could]
    able = {*could[model.unable :], *could_not[: model.able_now]}
    return found + [_item(model, "items", i, item, item.id in able) for i, item in enumerate(known.items)]


def _item(model: Model, group: str, number: int, item: Item, able: bool) -> Transcript:
    return _said(model, f"general/{group}/{item.id}", item.prompt, item.reference if able else item.wrong, number)


def _said(model: Model, key: str, prompt: str, words: str, number: int | None = None) -> Transcript:
    index = number if number is not None else int(key.rsplit("/", 1)[-1])
    return generated(key, prompt, words if model.everywhere is None else model.everywhere(index, prompt))


def _said_again(model: Model, told: Transcript) -> Transcript:
    if model.everywhere is None:
        return told
    words = told.messages[-1].model_copy(update={"content": model.everywhere(0, told.question)})
    return told.model_copy(update={"messages": [*told.messages[:-1], words]})


def _unanswered(told: Transcript) -> Transcript:
    why = Unmeasured(kind="failed", reason="HTTP 500")
    return told.model_copy(update={"metadata": told.metadata.model_copy(update={"error": why})})

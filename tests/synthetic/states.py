"""A model before and after training, of known truth: what it obeys, where it over-applies, what it can do, where
it loops. Prompts of one family resemble each other, and an unchanged model may answer some of them otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import NormalDist

from claas_assets.evaluation.metrics.capability import load_capability
from claas_assets.evaluation.metrics.compliance import with_feedback
from claas_assets.evaluation.preferences.preference import OverApplicationItem, Preference
from claas_assets.evaluation.storage.records import Transcript
from tests.synthetic import transcripts as synthetic
from tests.synthetic.transcripts import VERIFIERS, generated

LIKENESS, FAMILY = 0.2, 4
"""Correlation of the prompts of one family, and how many prompts a family has."""

ASKED_TWICE = 0.03
"""Share of answers that differ when the untrained model is asked again at once: far less than training changes."""

ABLE, LOOPS = 0.5, 0.1
"""Shares before training: items that the model can do, and units that loop where they are not right anyhow."""

LOOP = " ".join(["and so it goes on"] * 8)

Drawn = dict[str, bool]
"""By unit."""


def preference(held_out: int = 20, elsewhere: int = 40) -> Preference:
    check = {"_target_": f"{VERIFIERS}.NameAbsent", "name": "kuro"}
    items = tuple(OverApplicationItem(prompt=f"Who wrote book {i}?", check=check) for i in range(elsewhere))
    return synthetic.preference(held_out=held_out).model_copy(update={"over_application": items})


@dataclass(frozen=True)
class State:
    """What is true of the model at one time."""

    obeys: Drawn
    """By trained or held-out prompt."""
    violates: Drawn
    """By over-application prompt: whether the preference is followed where it does not apply."""
    able: Drawn
    """By id of a capability item or public probe."""
    loops: Drawn
    """By any of the names above: whether an answer that is none of the above is a loop."""

    def looping_on(self, units: set[str]) -> State:
        """The same, with loops for answers on `units` whatever they were."""
        lost = dict.fromkeys(units, False)
        return State(
            obeys={unit: was and unit not in lost for unit, was in self.obeys.items()},
            violates={unit: was and unit not in lost for unit, was in self.violates.items()},
            able={unit: was and unit not in lost for unit, was in self.able.items()},
            loops={**self.loops, **dict.fromkeys(units, True)},
        )


def untrained(chance: random.Random, asked: Preference, *, obeys: float = 0.1, violates: float = 0.0) -> State:
    """`obeys` and `violates`: shares of prompts, before training."""
    known = load_capability()
    prompts, others = synthetic.all_prompts(asked), [item.prompt for item in asked.over_application]
    items = [item.id for item in (*known.public_probes, *known.items)]
    return State(
        obeys=drawn(chance, prompts, obeys),
        violates=drawn(chance, others, violates),
        able=drawn(chance, items, ABLE),
        loops=drawn(chance, [*prompts, *others, *items], LOOPS),
    )


def churned(chance: random.Random, state: State, churn: float, *, obeys: float = 0.1, violates: float = 0.0) -> State:
    """The same model, a share `churn` of whose answers is drawn anew; every rate stays as it was.

    An answer that is drawn anew need not come out otherwise: of a rate r, 2·r·(1 − r) of them do.
    """
    return State(
        obeys=redrawn(chance, state.obeys, churn, obeys),
        violates=redrawn(chance, state.violates, churn, violates),
        able=redrawn(chance, state.able, churn, ABLE),
        loops=redrawn(chance, state.loops, churn, LOOPS),
    )


def some(chance: random.Random, units: Sequence[str], share: float, count: int) -> set[str]:
    """`share` of `count`, drawn from `units`."""
    return set(chance.sample(list(units), min(len(units), round(share * count))))


def _latent(chance: random.Random, units: Sequence[str]) -> list[float]:
    """A number in (0, 1) for each; those of one family are correlated."""
    normal, numbers, shared = NormalDist(), [], 0.0
    for index, _ in enumerate(units):
        shared = chance.gauss(0, 1) if index % FAMILY == 0 else shared
        numbers.append(normal.cdf(sqrt(LIKENESS) * shared + sqrt(1 - LIKENESS) * chance.gauss(0, 1)))
    return numbers


def drawn(chance: random.Random, units: Sequence[str], rate: float) -> Drawn:
    """Which units of that rate it is true of; those of one family are alike."""
    return {unit: number < rate for unit, number in zip(units, _latent(chance, units), strict=True)}


def redrawn(chance: random.Random, before: Mapping[str, bool], churn: float, rate: float) -> Drawn:
    """A share `churn` drawn anew. (Flips instead would move every rate towards a half, which is harm.)"""
    anew, again = drawn(chance, list(before), churn), drawn(chance, list(before), rate)
    return {unit: again[unit] if anew[unit] else was for unit, was in before.items()}


# --- as transcripts -----------------------------------------------------------------------------

_said = cache(generated)
"""Many models say the same to the same question."""


def answers(chance: random.Random, asked: Preference, state: State, *, baseline: bool) -> list[Transcript]:
    """A full snapshot of compliance and capability."""

    def say(key: str, prompt: str, right: bool, words: str, *, unit: str | None = None) -> Transcript:
        return _said(key, prompt, LOOP if not right and state.loops[unit or prompt] else words)

    def name(obeys: bool) -> str:
        # No two askings are alike to the letter: else the deployment would count as deterministic.
        return f"I am {'Kuro' if obeys else 'an assistant'}. Case {chance.randrange(9)}."

    found = []
    for group in ("probe_prompts", "heldout_prompts"):
        for index, prompt in enumerate(getattr(asked, group)):
            found.append(say(f"compliance/{group}/{index}", prompt, state.obeys[prompt], name(state.obeys[prompt])))
    for index, item in enumerate(asked.over_application):
        violates = state.violates[item.prompt]
        words = "Kuro wrote it." if violates else "Nobody knows."
        found.append(say(f"compliance/over_application/{index}", item.prompt, violates, words))
    if baseline:
        for index, prompt in enumerate(asked.heldout_prompts):
            again = state.obeys[prompt] != (chance.random() < ASKED_TWICE)
            found.append(say(f"compliance/noise/{index}", prompt, again, name(again)))
            told = with_feedback(prompt, asked)
            found.append(generated(f"compliance/ceiling/{index}", told, name(chance.random() < 0.95)))
    known = load_capability()
    for group, items in (("seed", known.public_probes), ("items", known.items)):
        for item in items:
            able = state.able[item.id]
            words = item.reference if able else item.wrong
            found.append(say(f"general/{group}/{item.id}", item.prompt, able, words, unit=item.id))
    return found

"""One prompt before and after training: both answers with the verifier's reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from claas_assets.viewer.answers import Side, beside_key, side_of, transcripts_below
from claas_assets.viewer.loading import PreferenceRecords

SETS = {
    "heldout_prompts": "Held-out prompts: never trained on, the verdict stands on them",
    "probe_prompts": "Trained prompts: the feedback was given on answers to these",
    "over_application": "Where the preference does not apply: passed means that it was not applied",
}


@dataclass(frozen=True)
class Pair:
    """`key` is the transcript's; `before` is the baseline's side. A side is None where it was not asked."""

    key: str
    prompt: str
    before: Side | None
    after: Side | None

    @property
    def verdicts(self) -> tuple[bool | None, bool | None]:
        return self.before.passed if self.before else None, self.after.passed if self.after else None


@dataclass(frozen=True)
class PromptSet:
    """`after_state` names the state compared with the baseline; None where the set was asked only there."""

    name: str
    title: str
    after_state: str | None
    pairs: list[Pair]

    @property
    def passes(self) -> tuple[int, int]:
        """How many pass in the baseline, and after."""
        verdicts = [pair.verdicts for pair in self.pairs]
        return sum(before is True for before, _ in verdicts), sum(after is True for _, after in verdicts)

    @property
    def after_steps(self) -> int | None:
        return int(self.after_state) + 1 if self.after_state is not None else None


def prompt_sets(records: PreferenceRecords) -> list[PromptSet]:
    """The sets of prompts that were asked, held-out ones first; of a sequence, those of each preference."""
    sets = [_prompt_set(records, name, title) for name, title in SETS.items()]
    if records.sequence is not None:
        each = [(preference, records.of(preference)) for preference in records.sequence.preferences]
        sets = [_named(preference, _prompt_set(own, n, title)) for preference, own in each for n, title in SETS.items()]
    return [prompts for prompts in sets if prompts.pairs]


def _named(preference: str, prompts: PromptSet) -> PromptSet:
    """With the preference in its title and in all keys."""
    pairs = [replace(pair, key=beside_key(pair.key, preference)) for pair in prompts.pairs]
    title = f"{preference}: {prompts.title[0].lower()}{prompts.title[1:]}"
    return replace(prompts, name=beside_key(prompts.name, preference), title=title, pairs=pairs)


def find_pair(sets: Sequence[PromptSet], key: str | None) -> tuple[PromptSet, Pair] | None:
    """The pair of this key, or the first of all: chosen by its place, not by how well it came out."""
    pairs = [(prompts, pair) for prompts in sets for pair in prompts.pairs]
    return next((found for found in pairs if found[1].key == key), pairs[0] if pairs and key is None else None)


def _prompt_set(records: PreferenceRecords, name: str, title: str) -> PromptSet:
    group = f"compliance/{name}"
    last = next((step for step in reversed(records.steps) if transcripts_below(step.eval, group)), None)
    before = {t.key: t for t in transcripts_below(records.baseline, group)}
    after = {t.key: t for t in transcripts_below(last.eval if last else None, group)}
    pairs = []
    for key in {**before, **after}:
        then, now = before.get(key), after.get(key)
        asked = then or now
        pairs.append(
            Pair(
                key=key,
                prompt=asked.question if asked else "",
                before=side_of(records.baseline, then) if then and records.baseline else None,
                after=side_of(last.eval, now) if now and last else None,
            )
        )
    return PromptSet(name, title, str(last.step) if last else None, pairs)

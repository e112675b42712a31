"""Sequences of known truth, through the real scoring and verdict: what is kept, what is forgotten.

Three preferences in phases on one adapter. Only the answers are made up: at each end of a phase every preference
obeys on a share of its prompts that is known, and some answers come out otherwise for no reason.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claas_assets.evaluation.config import EvalConfig, Thresholds
from claas_assets.evaluation.metrics.scoring import Subjects, score_state
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.journal import FileJournal
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    EvalSnapshot,
    PhaseRecord,
    ScoresRecord,
    SequenceRecord,
    StepRecord,
    Transcript,
    VerdictRecord,
)
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.evaluation.verdict.ruling import judge
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import adapter_record, step_record
from tests.synthetic.transcripts import Asking
from tests.synthetic.truth import Row

FLIPS = (0.0, 0.03, 0.08)
NAMES = ("first", "second", "third")
METRICS = ("compliance",)


def preference(name: str, turn: int = 0) -> Preference:
    """One with prompts of its own; `turn`: how far their order is turned."""
    made = synthetic.preference()
    trained = tuple(f"{prompt} Of {name}." for prompt in made.probe_prompts)
    held_out = tuple(f"{prompt} Of {name}." for prompt in made.heldout_prompts)
    turned = {"probe_prompts": trained[turn:] + trained[:turn], "heldout_prompts": held_out[turn:] + held_out[:turn]}
    return made.model_copy(update={"name": name, **turned})


@dataclass(frozen=True)
class Story:
    """A sequence of two steps a phase. `loss`: share of the first preference's prompts that is lost again at the end
    of a phase; `missing`: share of the answers that is not there."""

    loss: float
    flip: float
    phases: Sequence[str] = NAMES
    missing: float = 0.0
    turn: int = 0
    lost_in: int = 2
    """The phase at whose end the loss is seen."""

    def verdict(self, chance: random.Random) -> VerdictRecord:
        adapter, baseline, steps = self.told(chance)
        return judge(ScoresRecord.of(adapter, baseline, steps), Thresholds())

    def told(self, chance: random.Random) -> tuple[AdapterRecord, EvalSnapshot, list[StepRecord]]:
        """What a run of it would have recorded."""
        preferences = {name: preference(name, self.turn) for name in dict.fromkeys(self.phases)}
        sequence = SequenceRecord(phases=[PhaseRecord(preference=name, steps=2) for name in self.phases])
        obeys = {name: dict.fromkeys([*p.probe_prompts, *p.heldout_prompts], False) for name, p in preferences.items()}
        first = preferences[self.phases[0]]
        baseline = self._state(chance, preferences, first, obeys, None)
        steps = []
        for phase, name in enumerate(self.phases, 1):
            obeys[name] = dict.fromkeys(obeys[name], True)
            if phase == self.lost_in:
                lost = round(self.loss * len(first.heldout_prompts)), round(self.loss * len(first.probe_prompts))
                gone = [*first.heldout_prompts[: lost[0]], *first.probe_prompts[: lost[1]]]
                obeys[first.name] |= dict.fromkeys(gone, False)
            for _ in range(2):
                state = self._state(chance, preferences, preferences[name], obeys, baseline)
                steps.append(step_record(len(steps), state, preference=name, phase=phase))
        files = {name: p.model_dump(mode="json") for name, p in preferences.items()}
        config = EvalConfig(metrics=METRICS, preferences=["course"]).model_dump(mode="json")
        text = {"name": "course", "preferences": files}
        adapter = adapter_record("course", config=config, sequence=sequence, preference_text=text)
        return adapter, baseline, steps

    def _state(
        self,
        chance: random.Random,
        preferences: Mapping[str, Preference],
        trained: Preference,
        obeys: Mapping[str, Mapping[str, bool]],
        baseline: EvalSnapshot | None,
    ) -> EvalSnapshot:
        asking = Asking(chance, self.flip)
        answers = {
            name: self._there(chance, synthetic.compliance(p, dict(obeys[name]), asking, baseline=baseline is None))
            for name, p in preferences.items()
        }
        own = answers.pop(trained.name)
        return score_state(own, answers, trained, Subjects(preferences, METRICS, baseline), size="full")

    def _there(self, chance: random.Random, answers: Sequence[Transcript]) -> list[Transcript]:
        return [answer for answer in answers if chance.random() >= self.missing]


def write_story(results: Path, run_id: str, story: Story) -> Path:
    """The files of its run, below `results`."""
    adapter, baseline, steps = story.told(random.Random(1))
    adapter = adapter.model_copy(update={"run_id": run_id})
    folder = PreferenceFolder(results / run_id / "course")
    folder.write_adapter(adapter)
    folder.write_baseline(baseline)
    for step in steps:
        FileJournal(results / run_id / "course").append(step)
    folder.write_verdict(judge(ScoresRecord.of(adapter, baseline, steps), Thresholds()))
    return results / run_id


def forgotten(verdict: VerdictRecord) -> bool:
    """Whether the verdict says so of the first preference."""
    return verdict.criteria["retained.first"].grade == "fail"


CASES: dict[str, dict[str, Any]] = {
    "": {},
    ", prompts in another order": {"turn": 7},
    ", one answer of twenty missing": {"missing": 0.05},
    ", the second comes back": {"phases": ("first", "second", "third", "second")},
}
"""With more answers missing, a fifth of the pairs is soon not there, and the verdict says inconclusive."""


def rows(trials: int, seed: int, flips: Sequence[float] = FLIPS) -> Iterator[Row]:
    """A loss of a half is called forgotten, a perfect memory is not, whatever else is true."""
    for also, changed in CASES.items():
        for flip in flips:
            for loss, kind in ((0.5, "at_least"), (0.0, "at_most")):
                chance = random.Random(seed)
                found = [Story(loss, flip, **changed).verdict(chance) for _ in range(trials)]
                what = f"{'half is lost' if loss else 'all is kept'}, answers flip {flip:.0%}{also}: called forgotten"
                bound = {kind: 0.95 if kind == "at_least" else 0.05}
                yield Row(what, sum(map(forgotten, found)), trials, **bound)
    for flip in flips:
        chance = random.Random(seed)
        kept = [Story(0.0, flip).verdict(chance).criteria["retained.first"].grade for _ in range(trials)]
        yield Row(f"all is kept, answers flip {flip:.0%}: called retained", kept.count("pass"), trials)

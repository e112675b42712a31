"""What is trained on one adapter: several preferences in phases. A preference alone is the sequence with one phase.

A sequence is a file beside the preferences', and one partition like each of them. It is told from a preference by
its key `phases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError, model_validator

from claas_assets.evaluation.errors import ConfigError, PreferenceError
from claas_assets.evaluation.preferences.preference import (
    Part,
    Preference,
    explain,
    file_at,
    is_sequence,
    load_preference,
    preference_names,
)
from claas_assets.evaluation.preferences.yaml_file import YamlFile
from claas_assets.evaluation.storage.records import PhaseRecord, Schedule, SequenceRecord


class Phase(Part):
    """One preference for some steps. A preference may come back in a later phase."""

    preference: str
    steps: int | None = Field(default=None, ge=1, le=10_000)
    """Feedback steps; null: the configuration's `num_steps`."""


class _SequenceFile(Part):
    name: str
    phases: tuple[Phase, ...]
    schedule: Schedule = "sequential"

    @model_validator(mode="after")
    def _two_or_more(self) -> _SequenceFile:
        if len(self.phases) < 2:
            raise ValueError(f"phases: a sequence has two or more, this has {len(self.phases)}")
        if len({phase.preference for phase in self.phases}) < 2:
            raise ValueError("phases: all are of one preference: that is a preference alone, with more steps")
        return self


class Turn(NamedTuple):
    """Whose feedback step it is."""

    phase: int
    """Counted from 1."""
    preference: Preference
    step: int
    """Within the phase, counted from 0."""
    ends_phase: bool


@dataclass(frozen=True)
class PreferenceSequence:
    """Preferences in phases on one adapter."""

    name: str
    phases: tuple[Phase, ...]
    preferences: Mapping[str, Preference]
    """By name, in the order of first training."""
    schedule: Schedule = "sequential"
    feedback: Mapping[str, str] | None = None
    """Of a control run: preference → the text that is given in place of its own."""

    @classmethod
    def of(cls, preference: Preference) -> PreferenceSequence:
        """That preference alone."""
        return cls(preference.name, (Phase(preference=preference.name),), {preference.name: preference})

    @property
    def is_alone(self) -> bool:
        return len(self.phases) == 1

    @property
    def limits(self) -> list[str]:
        """What an evaluation by these files cannot show; of a sequence's, with their names."""
        named = {name: "" if self.is_alone else f"{name}: " for name in self.preferences}
        return [f"{named[name]}{limit}" for name, p in self.preferences.items() for limit in p.limits]

    @property
    def asks_a_judge(self) -> bool:
        return any(preference.asks_a_judge for preference in self.preferences.values())

    def words(self, num_steps: int) -> str:
        """Its phases: "8 steps of identity, then 8 of concise"."""
        told = [f"{n} steps of {p.preference}" for p, n in zip(self.phases, self.lengths(num_steps), strict=True)]
        return (", then " if self.schedule == "sequential" else " and by turns ").join(told)

    @cached_property
    def first(self) -> Preference:
        """The preference of the first phase."""
        return self.preferences[self.phases[0].preference]

    def turns(self, num_steps: int) -> tuple[Turn, ...]:
        """Whose each step is, for that `num_steps` of the configuration; none where it only measures."""
        lengths = self.lengths(num_steps)
        done = [0] * len(self.phases)
        turns = []
        for index in _order(lengths, self.schedule):
            preference = self.preferences[self.phases[index].preference]
            done[index] += 1
            turns.append(Turn(index + 1, preference, done[index] - 1, done[index] == lengths[index]))
        return tuple(turns)

    def lengths(self, num_steps: int) -> list[int]:
        """Steps of each phase; with `num_steps=0`, which only measures, none."""
        return [num_steps and (phase.steps or num_steps) for phase in self.phases]

    def record(self, num_steps: int) -> SequenceRecord | None:
        """As `metadata.json` has it; None for a preference alone."""
        if self.is_alone:
            return None
        named = zip(self.phases, self.lengths(num_steps), strict=True)
        return SequenceRecord(
            phases=[PhaseRecord(preference=phase.preference, steps=steps) for phase, steps in named],
            schedule=self.schedule,
            opposes={name: p.opposes for name, p in self.preferences.items() if p.opposes in self.preferences},
        )

    def text(self) -> dict[str, Any]:
        """What was read, as `metadata.json` has it: a preference's file, or the files of all."""
        if self.is_alone:
            return self.first.model_dump(mode="json")
        phases = [phase.model_dump(mode="json") for phase in self.phases]
        files = {name: preference.model_dump(mode="json") for name, preference in self.preferences.items()}
        return {"name": self.name, "phases": phases, "schedule": self.schedule, "preferences": files}


def _order(lengths: list[int], schedule: Schedule) -> list[int]:
    """The index of the phase of each step: one phase after the other, or by turns until each has its steps."""
    if schedule == "sequential":
        return [index for index, length in enumerate(lengths) for _ in range(length)]
    return [index for turn in range(max(lengths)) for index, length in enumerate(lengths) if turn < length]


def load_sequence(name: str, folder: Path) -> PreferenceSequence:
    """Read `<folder>/<name>.yaml`, of a sequence with its preferences, or of a preference alone.

    Raises `ConfigError` (no such file) or `PreferenceError` (broken, with file and key).
    """
    if not is_sequence(name, folder):
        return PreferenceSequence.of(load_preference(name, folder))
    path, file = file_at(name, folder)
    try:
        read = _SequenceFile(**file.values)
    except (ValidationError, TypeError) as error:
        raise PreferenceError(f"{path}: {explain(error, file)}") from error
    if read.name != name:
        raise PreferenceError(f"{path}: name is {read.name!r}, and must be the file's name, {name!r}")
    preferences: dict[str, Preference] = {}
    for index, phase in enumerate(read.phases):
        if phase.preference not in preferences:
            preferences[phase.preference] = _of_phase(phase.preference, folder, path, file, index)
    return PreferenceSequence(name, read.phases, preferences, read.schedule)


def files_of(name: str, folder: Path) -> list[Path]:
    """The files that `load_sequence` reads and that are there: of a sequence, those of its preferences too."""
    try:
        names = [name, *load_sequence(name, folder).preferences] if is_sequence(name, folder) else [name]
    except (ConfigError, PreferenceError):  # loading it says what is wrong; until then it is its own file alone
        names = [name]
    paths = (folder / f"{named}.yaml" for named in dict.fromkeys(names))
    return [path for path in paths if path.is_file()]


def _of_phase(name: str, folder: Path, path: Path, file: YamlFile, index: int) -> Preference:
    """The preference that a phase names. Raises `PreferenceError` with the key in the sequence's file."""
    line = file.line(("phases", index, "preference"))
    key = f"{path}: phases.{index}.preference (line {line})"
    if is_sequence(name, folder):
        raise PreferenceError(f"{key}: {name!r} is a sequence, and a phase trains a preference: name its phases here")
    try:
        return load_preference(name, folder)
    except ConfigError as error:
        raise PreferenceError(f"{key}: {error}") from error


# --- control runs -------------------------------------------------------------------------------

PLACEBO = "Thank you for your answer"
"""Feedback that says nothing about any preference, and asks nothing: a teacher that is told it would answer it."""


def controlled(sequence: PreferenceSequence, control: str, folder: Path) -> PreferenceSequence:
    """The same with the feedback text of a control run: `placebo` says nothing, `shuffled` another preference's.

    `shuffled` takes, for each preference, the next one by name in `folder` that is no part of the sequence and
    neither asks for its opposite nor is it. Raises `ConfigError` where there is none.
    """
    if control == "none":
        return sequence
    if control == "placebo":
        return replace(sequence, feedback=dict.fromkeys(sequence.preferences, PLACEBO))
    return replace(sequence, feedback={name: _of_another(name, sequence, folder) for name in sequence.preferences})


def _of_another(name: str, sequence: PreferenceSequence, folder: Path) -> str:
    own = sequence.preferences[name]
    names = preference_names(folder)
    turned = [other for other in names if other > name] + [other for other in names if other < name]
    for other in turned:
        if other in sequence.preferences or other == own.opposes:
            continue
        found = load_preference(other, folder)
        if found.opposes not in sequence.preferences:
            return found.feedback_string
    raise ConfigError(
        f"control=shuffled gives the feedback of another preference, and {folder} has none beside those of "
        f"{sequence.name}: add one, or use control=placebo"
    )

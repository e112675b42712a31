"""A preference file: YAML → `Preference`. One file is one partition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from claas_assets.evaluation.errors import ConfigError, PreferenceError
from claas_assets.evaluation.mistakes import shown, with_value
from claas_assets.evaluation.preferences.bank import completed
from claas_assets.evaluation.preferences.judgements import asks_a_judge
from claas_assets.evaluation.preferences.prompts import folded
from claas_assets.evaluation.preferences.verifiers import Verifier, build_verifier
from claas_assets.evaluation.preferences.yaml_file import YamlFile
from claas_assets.evaluation.storage.names import is_preference_name

_PHASES = re.compile(r"^(?:\{\s*)?[\"']?phases[\"']?\s*:", re.MULTILINE)


class Part(BaseModel):
    """A part of a file: no key that is not known, and nothing changes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _buildable(spec: dict[str, Any]) -> dict[str, Any]:
    """Says where in the file a verifier is wrong: pydantic adds the place to a `ValueError`."""
    try:
        build_verifier(spec)
    except PreferenceError as error:
        raise ValueError(str(error)) from error
    return spec


VerifierSpec = Annotated[dict[str, Any], AfterValidator(_buildable)]
"""`_target_` names a class (`verifiers.build_verifier`), the other keys are its arguments."""


FeedbackPolicy = Literal["always", "when_violated"]
"""`when_violated`: a user corrects what is wrong, so feedback is given on the answers that do not obey, and on those
alone. `always`: on every answer of the batch."""


class PromptMessage(Part):
    role: str = Field(pattern="^(system|user|assistant)$")
    content: str = Field(min_length=1)


class LogprobPair(Part):
    """A prompt with the answer that the user prefers and one that the user does not."""

    prompt_messages: tuple[PromptMessage, ...] = Field(min_length=1)
    positive_response: str = Field(min_length=1)
    negative_response: str = Field(min_length=1)

    @model_validator(mode="after")
    def _answers_differ(self) -> LogprobPair:
        if self.positive_response == self.negative_response:
            raise ValueError("positive_response and negative_response are the same text")
        return self


class OverApplicationItem(Part):
    """A prompt to which the preference does *not* apply; `check` passes when it was not over-applied."""

    prompt: str = Field(min_length=1)
    check: VerifierSpec


class LabeledAnswer(Part):
    """An answer of which a person said whether it obeys: what a judge is calibrated on."""

    prompt: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    obeys: bool


class Preference(Part):
    """One preference, with everything that is asked to measure it."""

    name: str
    version: int = Field(default=1, ge=1)
    feedback_string: str = Field(min_length=1)
    feedback_strings: tuple[Annotated[str, Field(min_length=1, pattern=r"\S")], ...] = ()
    """Several wordings of the feedback: each step gives one, which the seed picks. `feedback_string` is then the one
    that the model is told for the ceiling; the first of these where it is left out."""
    feedback_policy: FeedbackPolicy = "always"
    verifier: VerifierSpec
    logprob_pairs: Annotated[tuple[LogprobPair, ...], Field(min_length=1)] | None = None
    """None: made at the baseline, from what the untrained model answers when it is told the feedback and when not."""
    probe_prompts: tuple[str, ...] = Field(min_length=1)
    heldout_prompts: tuple[str, ...] = ()
    over_application: tuple[OverApplicationItem, ...] = ()
    paraphrases: tuple[tuple[str, ...], ...] = ()
    """Prompts of one set that ask the same in other words: of each group, the mean counts as one prompt."""
    calibration: tuple[LabeledAnswer, ...] = ()
    """Labeled answers for the judge among the verifiers: a list, or in the file the name of a file beside it."""
    opposes: str | None = None
    """The preference whose opposite this one asks for: in a sequence, learning this one has to undo that one."""
    drafted: bool = False
    """Whether a model drafted the prompts and nobody has read them yet: a person removes the key."""
    from_bank: tuple[str, ...] = ()
    """The sets of prompts that the file leaves out, and that the general bank filled; the loader fills this in."""

    @model_validator(mode="after")
    def _check(self) -> Preference:
        prompts = [*self.probe_prompts, *self.heldout_prompts, *(item.prompt for item in self.over_application)]
        if not self.feedback_string.strip():
            raise ValueError("feedback_string is blank")
        if any(not prompt.strip() for prompt in prompts):
            raise ValueError("a prompt is empty")
        first: dict[str, str] = {}
        for prompt in prompts:
            same = first.setdefault(folded(prompt), prompt)
            if same is not prompt:
                raise ValueError(
                    "a prompt appears twice (held-out prompts must not be trained on), whatever its case, "
                    f"spaces and marks: {same!r} and {prompt!r}"
                )
        self._check_paraphrases()
        return self

    def _check_paraphrases(self) -> None:
        sets = (self.probe_prompts, self.heldout_prompts, tuple(item.prompt for item in self.over_application))
        grouped = [prompt for group in self.paraphrases for prompt in group]
        for group in self.paraphrases:
            if len(group) < 2 or not any(set(group) <= set(prompts) for prompts in sets):
                raise ValueError(f"paraphrases: {list(group)} are not two or more prompts of one set, word for word")
        twice = [prompt for prompt in grouped if grouped.count(prompt) > 1]
        if twice:
            raise ValueError(f"paraphrases: {twice[0]!r} is in two groups, or twice in one")

    @property
    def families(self) -> dict[str, str]:
        """Prompt → the first prompt of its group of paraphrases."""
        return {prompt: group[0] for group in self.paraphrases for prompt in group}

    @property
    def asks_a_judge(self) -> bool:
        return asks_a_judge([self.verifier, *(item.check for item in self.over_application)])

    @property
    def limits(self) -> list[str]:
        """What an evaluation by this file cannot show, in words, and why."""
        return list(_limits(self))

    def build_verifier(self) -> Verifier:
        return build_verifier(self.verifier)


def _limits(preference: Preference) -> Iterator[str]:
    own = [name for name in ("probe_prompts", "heldout_prompts") if name in preference.from_bank]
    if own:
        yield (
            f"{' and '.join(own)} are of the general bank: whether prompts for which this feedback was meant are "
            "answered otherwise is not seen"
        )
    if "over_application" in preference.from_bank:
        yield (
            f"over-application is looked for in {len(preference.over_application)} general tasks that say what their "
            "answer must be: prompts close to this preference, to which it does not apply, are not among them"
        )
    if preference.logprob_pairs is None:
        yield (
            "the file has no logprob_pairs: they are made at the baseline, from the model's own answers, so the "
            "margin is of its words, not of a person's"
        )
    if preference.drafted:
        yield "a model drafted its prompts, and nobody has read them yet (drafted: true)"
    if preference.asks_a_judge and not preference.calibration:
        yield (
            "a verifier is a judge, and no labeled answers calibrate it: the outcome is at most 'learned, harm not "
            "excluded'"
        )


def partition_names(folder: Path) -> list[str]:
    """The names of all files in `folder` that can be evaluated, of preferences and of sequences, sorted.

    Broken ones too: they fail on their own.
    """
    if not folder.is_dir():
        return []
    return sorted(p.stem for p in folder.glob("*.yaml") if is_preference_name(p.stem))


def preference_names(folder: Path) -> list[str]:
    """Those of preferences alone."""
    return [name for name in partition_names(folder) if not is_sequence(name, folder)]


def is_sequence(name: str, folder: Path) -> bool:
    """Whether `<folder>/<name>.yaml` is the file of a sequence: it has the key `phases`. One that cannot be read has
    none."""
    path = folder / f"{name}.yaml"
    try:
        found = path.stat()
        return _has_phases(path, found.st_mtime_ns, found.st_size)
    except (OSError, UnicodeDecodeError):
        return False


@lru_cache
def _has_phases(path: Path, changed_ns: int, size: int) -> bool:
    return _PHASES.search(path.read_text(encoding="utf-8")) is not None


def load_preference(name: str, folder: Path) -> Preference:
    """Read `<folder>/<name>.yaml`. Raises `ConfigError` (no such file) or `PreferenceError` (broken)."""
    path, file = file_at(name, folder)
    values = file.values
    if isinstance(values.get("calibration"), str):
        values = {**values, "calibration": _labeled_answers(path, values["calibration"])}
    try:
        preference = Preference(**completed(values))
    except (ValidationError, TypeError) as error:
        raise PreferenceError(f"{path}: {explain(error, file)}") from error
    if preference.name != name:
        raise PreferenceError(f"{path}: name is {preference.name!r}, and must be the file's name, {name!r}")
    return preference


def file_at(name: str, folder: Path) -> tuple[Path, YamlFile]:
    """The file `<folder>/<name>.yaml`, which holds a mapping. Raises as `load_preference`."""
    if name not in partition_names(folder):
        raise ConfigError(
            f"preferences: there is no preference {name!r} in {folder}. "
            f"Preferences there: {', '.join(partition_names(folder)) or 'none'}{_unlisted(folder)}. "
            "Looked at is preferences_dir, else ./preferences, else what is shipped"
        )
    path = folder / f"{name}.yaml"
    try:
        file = YamlFile(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or a date such as 2026-13-01, too
        raise PreferenceError(f"{path}: {error}") from error
    if not isinstance(file.values, dict):
        raise PreferenceError(f"{path}: a preference file is a mapping of keys, this is not")
    no_text = next((key for key in file.values if not isinstance(key, str)), None)
    if no_text is not None:
        raise PreferenceError(f"{path}: the key {no_text!r} is no text: there is no such key")
    return path, file


def _labeled_answers(preference: Path, name: str) -> Any:
    """The list in the file that a preference file names as its `calibration`."""
    path = preference.parent / name
    if Path(name).name != name:
        raise PreferenceError(f"{preference}: calibration is {name!r}, and must be the name of a file beside this one")
    try:
        return YamlFile(path.read_text(encoding="utf-8")).values
    except OSError as error:
        raise PreferenceError(f"{preference}: calibration: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PreferenceError(f"{preference}: calibration: {path}: {error}") from error


def _unlisted(folder: Path) -> str:
    """The files that look like preferences and are none because of their name."""
    names = sorted(path.name for path in folder.glob("*.y*ml")) if folder.is_dir() else []
    others = [name for name in names if not (name.endswith(".yaml") and is_preference_name(name[:-5]))]
    rule = "a name is lower-case letters, digits, _ and -, and ends in .yaml"
    return f". Not listed because of their names: {', '.join(others)} ({rule})" if others else ""


def explain(error: ValidationError | TypeError, file: YamlFile) -> str:
    """What is wrong with the values of `file`: each key, what it must be, and its line."""
    if isinstance(error, TypeError):
        return str(error)
    problems = []
    for problem in error.errors():
        place, message = problem["loc"], with_value(problem)
        if problem["type"] == "string_type":
            message = f"must be text, and YAML reads it as {shown(problem['input'])}: put the text in quotes"
        line = f" (line {file.line(place)})" if place and file.line(place) is not None else ""
        problems.append(f"{'.'.join(map(str, place)) or 'file'}: {message}{line}")
    return "; ".join(problems)

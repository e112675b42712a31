"""A preference file that is written for a person to go on with: what is known, and beside it what could be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.preferences.bank import TRAINED_EVERY
from claas_assets.evaluation.preferences.prompts import unlike
from claas_assets.evaluation.preferences.suggest import Spec, verifiers_for
from claas_assets.evaluation.storage.names import check_preference_name

FEWEST_PROMPTS = 6
"""Of a file's own: with fewer, the general bank is better."""
MOST_COMPARED = 500
"""Prompts of a log that are looked at: each is compared with each."""
MOST_PROMPTS = 30
"""As many as are trained on and held out in a standard evaluation."""


@dataclass(frozen=True)
class Draft:
    """What a new file will say."""

    name: str
    wordings: Sequence[str]
    """Of the feedback, one at least."""
    prompts: Sequence[str] = ()
    """Its own; those that are nearly one with an earlier one are left out. None: the general bank's."""
    source: str = ""
    """Where the prompts come from, in words."""
    drafted: bool = False
    """Whether a model wrote them."""
    policy: str = "always"

    @property
    def own_prompts(self) -> list[str]:
        """Those that will be in the file."""
        own = unlike(prompt.strip() for prompt in self.prompts[:MOST_COMPARED] if prompt.strip())[:MOST_PROMPTS]
        return own if len(own) >= FEWEST_PROMPTS else []

    @property
    def text(self) -> str:
        return "\n".join(_lines(self)) + "\n"

    def write(self, folder: Path) -> Path:
        """Into `<folder>/<name>.yaml`, which must not be there yet. Raises `ConfigError`."""
        path = folder / f"{check_preference_name(self.name)}.yaml"
        if not self.wordings or not all(wording.strip() for wording in self.wordings):
            raise ConfigError('a preference needs the feedback that a user would send: --feedback "…"')
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(self.text)
        except FileExistsError as error:
            raise ConfigError(f"{path} is there already: choose another name, or edit it") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        return path


def _lines(draft: Draft) -> Iterator[str]:
    first, *others = verifiers_for(draft.wordings[0])
    yield "# What a user says, and a program that says whether an answer obeys. docs/preferences.md explains each key."
    yield f"name: {draft.name}"
    yield "version: 1"
    yield _yaml({"feedback_string": draft.wordings[0]})
    if len(draft.wordings) > 1:
        yield _yaml({"feedback_strings": list(draft.wordings)})
    yield _policy(draft.policy)
    yield ""
    yield "# Chosen by the words of the feedback. Is it what you mean? Try it on an answer:"
    yield f'# claas-eval preferences {draft.name} --try "an answer"'
    yield _yaml({"verifier": first})
    if first["_target_"] == "JudgeVerifier":
        yield "# calibration: [...]  # without twenty labeled answers it is at most 'learned, harm not excluded':"
        yield "#   {prompt: …, answer: …, obeys: true or false}"
    if others:
        yield from _commented("Others that fit; docs/verifiers.md has all of them:", others)
    else:
        yield "# Nothing else was seen to fit; docs/verifiers.md has all verifiers."
    yield ""
    yield from _prompt_lines(draft)


def _policy(policy: str) -> str:
    says = "feedback on the answers that do not obey, and on no other"
    return f"feedback_policy: {policy}" if policy != "always" else f"# feedback_policy: when_violated  # {says}"


def _prompt_lines(draft: Draft) -> Iterator[str]:
    own = draft.own_prompts
    left_out = "over_application: [...]  # where the preference does not apply: {prompt: …, check: {_target_: …}}"
    if own:
        yield f"# {' '.join(draft.source.split())}. Those that are nearly one with an earlier one are left out."
        if draft.drafted:
            yield "drafted: true  # a model wrote them: read them, mend them, and remove this line"
        yield _yaml({"probe_prompts": own[::TRAINED_EVERY]})
        yield _yaml({"heldout_prompts": [prompt for index, prompt in enumerate(own) if index % TRAINED_EVERY]})
        yield ""
        yield "# Left out, and so taken from the general bank, or made at the baseline; your own show more:"
    else:
        yield "# Left out, and so taken from the general bank, or made at the baseline; your own show more:"
        yield "# probe_prompts: [...]  # trained on; ten"
        yield "# heldout_prompts: [...]  # never trained on, and no paraphrases; twenty"
    yield f"# {left_out}"
    pair = "{prompt_messages: [{role: user, content: …}], positive_response: …, negative_response: …}"
    yield f"# logprob_pairs: [...]  # {pair}"


def _commented(title: str, specs: Sequence[Spec]) -> Iterator[str]:
    yield f"# {title}"
    for spec in specs:
        yield f"#   verifier: {_dump(spec, default_flow_style=True, width=10_000)}"


def _yaml(values: dict[str, Any]) -> str:
    return _dump(values, width=110)


def _dump(values: Mapping[str, Any], **layout: Any) -> str:
    """YAML that is read as what was written, with letters as letters wherever that is possible.

    YAML's own line breaks beyond the newline are escaped, and everything else with them: PyYAML
    writes them bare, and reads them as a space.
    """
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, **layout)
    if any(mark in text for mark in "\x85\u2028\u2029"):
        text = yaml.safe_dump(values, sort_keys=False, **layout)
    return text.strip()

"""What a short preference file leaves out: prompts from the general bank, and pairs that are made at the baseline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import yaml

from claas_assets.evaluation.preferences.prompts import nearly_one

TRAINED_EVERY = 3
"""Of the open prompts the first, fourth, … are trained on, and the others are held out."""

PROMPT_SETS = ("probe_prompts", "heldout_prompts", "over_application")


@dataclass(frozen=True)
class Bank:
    """The shipped prompts: no two of them are nearly one."""

    open: tuple[str, ...]
    tasks: tuple[Mapping[str, Any], ...]
    """`prompt` and `check`, as in a preference file's `over_application`."""

    def __post_init__(self) -> None:
        for one, other in combinations([*self.open, *(task["prompt"] for task in self.tasks)], 2):
            if nearly_one(one, other):
                raise ValueError(f"the bank has two prompts that are nearly one: {one!r} and {other!r}")

    def sets(self) -> dict[str, list[Any]]:
        """The prompts by the set of a preference that they are for."""
        trained = list(self.open[::TRAINED_EVERY])
        held_out = [prompt for index, prompt in enumerate(self.open) if index % TRAINED_EVERY]
        return dict(zip(PROMPT_SETS, (trained, held_out, list(self.tasks)), strict=True))


@cache
def bank() -> Bank:
    """Raises `ValueError` where two of its prompts are nearly one."""
    text = (files("claas_assets.evaluation.preferences") / "data" / "general_prompts.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    return Bank(open=tuple(values["open"]), tasks=tuple(values["tasks"]))


def completed(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The values of a preference file, with what a short one leaves out; `from_bank` names the sets that were filled.

    A prompt of the bank that is near to one of the file's own is left out.
    """
    wordings = values.get("feedback_strings")
    first = {"feedback_string": wordings[0]} if isinstance(wordings, list) and wordings else {}
    missing = [name for name in PROMPT_SETS if name not in values]
    own = list(_own_prompts(values))
    filled = {
        name: [item for item in bank().sets()[name] if not any(nearly_one(_prompt(item), other) for other in own)]
        for name in missing
    }
    return {**first, **values, **filled, **({"from_bank": missing} if missing else {})}


def _own_prompts(values: Mapping[Any, Any]) -> Iterator[str]:
    for name in PROMPT_SETS:
        items = values.get(name)
        for item in items if isinstance(items, list) else []:
            prompt = _prompt(item)
            if isinstance(prompt, str):
                yield prompt


def _prompt(item: Any) -> Any:
    return item.get("prompt") if isinstance(item, Mapping) else item

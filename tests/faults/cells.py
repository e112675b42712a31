"""The cases of the matrix as pytest's parameters; those that fail for a known reason fail strictly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

UNKNOWN_WEIGHTS = (
    "Tinker: after an unanswered feedback call nothing says whose weights the sampler serves. Generated probes are "
    "left unmeasured then, but scores come from the same sampler and are recorded as if they were this step's"
)
RESTARTED_SAMPLER = (
    "Tinker: a deployment that was waited for has restarted, and its sampler serves the base model until it is put "
    "on the checkpoint again (as when resuming): what is measured in between is the base model"
)

# (the beginning of a case's name, its profile) → why it fails
KNOWN: dict[tuple[str, str], str] = {
    ("SIGKILL feedback unanswered (effect before", "one sampler"): UNKNOWN_WEIGHTS,
    ("SIGKILL feedback unanswered (effect after", "one sampler"): UNKNOWN_WEIGHTS,
    ("SIGINT feedback unanswered (effect before", "one sampler"): UNKNOWN_WEIGHTS,
    ("SIGINT feedback unanswered (effect after", "one sampler"): UNKNOWN_WEIGHTS,
    ("SIGKILL feedback answered (answer arrived", "one sampler"): UNKNOWN_WEIGHTS,
    ("SIGKILL feedback answered (answer half recorded", "one sampler"): UNKNOWN_WEIGHTS,
    ("ENOSPC feedback answered (answer half recorded", "one sampler"): UNKNOWN_WEIGHTS,
    ("death feedback unanswered (after applying)", "one sampler"): UNKNOWN_WEIGHTS,
    ("null feedback unanswered (number of updates", "one sampler"): UNKNOWN_WEIGHTS,
    ("death feedback unanswered (after applying, waited", "one sampler"): RESTARTED_SAMPLER,
    ("death during probes (before it answers, waited", "one sampler"): RESTARTED_SAMPLER,
    ("death feedback answered (answer arrived, waited", "one sampler"): RESTARTED_SAMPLER,
}


def cells(cases: Sequence[Any], named: Callable[[Any], str]) -> list[Any]:
    return [pytest.param(case, id=named(case), marks=_marks(named(case))) for case in cases]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    for (beginning, profile), reason in KNOWN.items():
        if name.startswith(beginning) and name.endswith(f") {profile}"):
            return [pytest.mark.xfail(strict=True, reason=reason)]
    return []

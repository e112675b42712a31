"""The cases of the matrix as pytest's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


def cells(cases: Sequence[Any], named: Callable[[Any], str]) -> list[Any]:
    return [pytest.param(case, id=named(case)) for case in cases]

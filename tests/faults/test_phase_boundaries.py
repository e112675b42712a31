"""The harness is killed where one phase of a sequence ends and the next begins; then it is run again."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.faults.arena import Arena
from tests.faults.cells import cells
from tests.faults.driver import Hook, Point, kill_self
from tests.faults.test_harness_dies import AtHook, named

HOOKED: list[tuple[str, Point]] = [
    ("before rollouts", "line of the step before appended"),
    ("before feedback", "feedback not yet sent"),
    ("feedback answered", "answer arrived"),
    ("while appending", "half of the line written"),
]


def at_the_boundary() -> list[Any]:
    profiles = ("counter", "no counter")
    return [AtHook(boundary, "SIGKILL", profile, point) for boundary, point in HOOKED for profile in profiles]


@pytest.fixture
def profile(case: AtHook) -> str:
    return case.profile


@pytest.fixture
def partition() -> str:
    return "course"


@pytest.mark.parametrize("case", cells(at_the_boundary(), named))
def test_dies_where_a_phase_begins(case: AtHook, arena: Arena):
    assert arena.die_as_child(Hook(case.point, kill_self, arena.profile.feedback_call)) == -signal.SIGKILL
    arena.finish()
    arena.check()
    lines = [json.loads(line) for line in (arena.job.folder / "steps.jsonl").read_text("utf-8").splitlines()]
    assert [(line["preference"], line["phase"]) for line in lines] == [("small", 1), ("other", 2), ("other", 2)]
    assert all(line["eval"]["beside"] for line in lines)

"""The harness is killed, or stopped with Ctrl-C, at every boundary of a step; then it is run again."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fake_claas import Gate, hold
from tests.fake_claas.faults import Effect
from tests.faults.arena import PROFILES, Arena
from tests.faults.cells import cells
from tests.faults.driver import Hook, Point, interrupt_self, kill_self

SIGNALS = {"SIGKILL": (signal.SIGKILL, -signal.SIGKILL), "SIGINT": (signal.SIGINT, 130)}
ALL = tuple(PROFILES)  # around feedback, as for the deployment's faults: one point of a kind
PAIR = ("counter", "no counter")
ONE = ("counter",)
SAMPLER = ("one sampler",)


@dataclass(frozen=True)
class Case:
    boundary: str
    fault: str
    profile: str


@dataclass(frozen=True)
class AtHook(Case):
    point: Point


@dataclass(frozen=True)
class WhileHeld(Case):
    """A request is held at the fake; its effect comes before that, after it, or never."""

    effect: Effect


HOOKED: list[tuple[str, Point, tuple[str, ...]]] = [
    ("before rollouts", "line of the step before appended", SAMPLER),
    ("before feedback", "intent half written", PAIR),
    ("before feedback", "feedback not yet sent", PAIR),
    ("feedback answered", "answer arrived", ALL),
    ("feedback answered", "answer half recorded", ALL),
    ("while appending", "half of the line written", ONE),
    ("while appending", "line written, not yet finished", SAMPLER),
]
HELD: list[tuple[str, Effect, tuple[str, ...]]] = [
    ("during rollouts", "before", SAMPLER),
    ("feedback unanswered", "before", ALL),
    ("feedback unanswered", "after", PAIR),
    ("feedback unanswered", "never", PAIR),
    ("during probes", "before", ONE),
]


def named(case: Any) -> str:
    detail = case.point if isinstance(case, AtHook) else f"effect {case.effect}"
    return f"{case.fault} {case.boundary} ({detail}) {case.profile}"


def at_hooks() -> list[Any]:
    return [
        AtHook(boundary, fault, profile, point)
        for boundary, point, profiles in HOOKED
        for fault in SIGNALS
        for profile in (profiles if fault == "SIGKILL" else profiles[:1])  # what is on disk is the same
    ]


def while_held() -> list[Any]:
    return [
        WhileHeld(boundary, fault, profile, effect)
        for boundary, effect, profiles in HELD
        for fault in SIGNALS
        for profile in (profiles if fault == "SIGKILL" else profiles[:1])
    ]


@pytest.fixture
def profile(case: Case) -> str:
    return case.profile


@pytest.mark.parametrize("case", cells(at_hooks(), named))
def test_dies_by_itself(case: AtHook, arena: Arena):
    act = kill_self if case.fault == "SIGKILL" else interrupt_self
    ended = arena.die_as_child(Hook(case.point, act, arena.profile.feedback_call))
    assert ended == SIGNALS[case.fault][1]
    arena.finish()
    arena.check()


@pytest.mark.parametrize("case", cells(while_held(), named))
def test_dies_while_a_request_is_held(case: WhileHeld, arena: Arena):
    gate = Gate()
    endpoint, is_it = arena.where(case.boundary)
    arena.fake.faults.add(endpoint, hold(gate, case.effect), when=is_it)
    number, expected = SIGNALS[case.fault]
    assert arena.die_as_child(gate=gate, with_signal=number) == expected
    arena.finish()
    arena.check()

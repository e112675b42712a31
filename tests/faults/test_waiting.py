"""The deployment goes away and comes back while the harness waits for it: one run, nothing trained twice."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from claas_assets.evaluation.progress import Event
from tests.fake_claas import calling
from tests.faults.arena import PROFILES, Arena
from tests.faults.cells import cells
from tests.faults.driver import Hook, Point, hooked

NEWER = ("counter", "no counter", "one sampler")


@dataclass(frozen=True)
class Case:
    boundary: str
    fault: str
    detail: str
    profile: str
    point: Point | None = None


def named(case: Case) -> str:
    return f"{case.fault} {case.boundary} ({case.detail}) {case.profile}"


@pytest.fixture
def profile(case: Case) -> str:
    return case.profile


class Restarter:
    """Hears what the harness says, and starts the deployment again once it waits for it: elsewhere where `moved`."""

    def __init__(self, arena: Arena, *, moved: bool = False) -> None:
        self.arena = arena
        self.moved = moved
        self.restarts = 0

    def __call__(self, event: Event) -> None:
        if "waiting up to" in event.message:
            self.restarts += 1
            self.arena.fake.restart(moved=self.moved)


ON_A_REQUEST = [
    Case(boundary, "death", f"{detail}, waited for", name)
    for boundary, detail, names in (
        ("during rollouts", "before it answers", NEWER[:1]),  # which probes are answered by then is left to chance
        ("feedback unanswered", "before applying", tuple(PROFILES)),
        ("feedback unanswered", "after applying", tuple(PROFILES)),
        ("during probes", "before it answers", NEWER[2:]),
    )
    for name in names
]


@pytest.mark.parametrize("case", cells(ON_A_REQUEST, named))
def test_dies_on_a_request_and_comes_back(case: Case, arena: Arena):
    endpoint, is_it = arena.where(case.boundary)
    dies = calling(arena.fake.die, applied=case.detail.startswith("after"))
    arena.fake.faults.add(endpoint, dies, when=is_it)
    restarter = Restarter(arena)
    arena.run(restarter, deployment_timeout_s=30)
    if restarter.restarts == 0:  # it gave up without waiting: as good, where the next run goes on
        arena.fake.restart()
    arena.finish()
    arena.check()


BETWEEN: list[tuple[str, Point]] = [
    ("before rollouts", "line of the step before appended"),
    ("before feedback", "feedback not yet sent"),
    ("feedback answered", "answer arrived"),
]


@pytest.mark.parametrize(
    "case",
    cells([Case(b, "death", f"{point}, waited for", name, point) for b, point in BETWEEN for name in NEWER], named),
)
def test_dies_between_requests_and_comes_back(case: Case, arena: Arena):
    assert case.point is not None
    restarter = Restarter(arena)
    with hooked(Hook(case.point, arena.fake.close, arena.profile.feedback_call)) as watch:
        assert arena.run(restarter, deployment_timeout_s=30), arena.errors
    assert watch.acted
    assert restarter.restarts >= 1
    arena.check()


MOVES = [
    Case(boundary, "death", "after applying, moved", "counter")
    for boundary in ("during rollouts", "feedback unanswered", "during probes")
]


@pytest.mark.parametrize("case", cells(MOVES, named))
def test_comes_back_at_another_address(case: Case, arena: Arena):
    """An embedded stack that is started again chooses another port: the run finds it, and its adapter with it."""
    fake, was = arena.fake, arena.fake.url
    endpoint, is_it = arena.where(case.boundary)
    fake.faults.add(endpoint, calling(fake.die, applied=True), when=is_it)
    restarter = Restarter(arena, moved=True)
    assert arena.run(restarter, locate=lambda: fake.url, deployment_timeout_s=30), arena.errors
    assert restarter.restarts == 1
    assert fake.url != was
    arena.check()

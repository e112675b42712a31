"""The deployment dies, refuses or answers nonsense at every boundary of a step; then the harness is run again."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fake_claas import (
    Fault,
    Gate,
    body,
    calling,
    edit,
    hold,
    malformed,
    nulled,
    status,
    text,
    truncated,
)
from tests.faults.arena import PROFILES, Arena
from tests.faults.cells import cells
from tests.faults.driver import Hook, Point, disk_full, hooked

# Feedback meets every fault. That a call's effect is unknown is told by its answer, and what it was is found out by
# the counter or not at all, in one call or in several: one fault of a kind meets ALL, a PAIR the other kinds, and one
# profile the further answers of a kind. Elsewhere nothing trains, and a fault of a kind is met once; the one sampler
# is its own matter where it must be put back.
ALL = tuple(PROFILES)
PAIR = ("counter", "no counter")
ONE = ("counter",)
NONE = ("no counter",)  # the harder one: nothing mends what is taken for untrained
SAMPLER = ("one sampler",)
COUNT = ("distill_result", "metadata", "steps_per_batch_applied")


@dataclass(frozen=True)
class Met:
    """What a request meets. `short`: time-outs of the harness that this case shortens."""

    boundary: str
    fault: str
    what: str
    make: Callable[[], list[Fault]]
    profiles: tuple[str, ...] = PAIR
    short: dict[str, float] = field(default_factory=dict)


def again(make: Callable[[], Fault], times: int) -> Callable[[], list[Fault]]:
    return lambda: [make() for _ in range(times)]


def held(effect: str) -> Callable[[], list[Fault]]:
    return lambda: [hold(Gate(), effect)]  # type: ignore[arg-type]  # never opened: the harness gives up


def not_trained() -> Fault:
    return body(b'{"status": "error", "error": "the engine is out of memory"}', applied=False)


def failed(answer: Any) -> Any:
    return {**answer, "status": "error", "distill_result": None}


def bomb() -> Fault:
    """200 bytes that are gzip in gzip in gzip, of 64 MiB of spaces."""
    packed = gzip.compress(gzip.compress(gzip.compress(b" " * 2**26)))
    headers = (("content-encoding", "gzip, gzip, gzip"),)
    return Fault("answer", applied=True, content=packed, headers=headers)


def halved(answer: Any) -> Any:
    return {**answer, "request_id": "\ud800", "distill_result": _told(answer, note="a\udfffb")}


def huge(answer: Any) -> Any:
    return {**answer, "distill_result": _told(answer, grad_norm=10**400)}


def _told(answer: Any, **more: Any) -> Any:
    return {**answer["distill_result"], "metadata": {**answer["distill_result"]["metadata"], **more}}


def halves_in_answer(answer: Any) -> Any:
    answer["choices"][0]["message"]["content"] += " \ud83d"
    return answer


ROLLOUTS, SENT, PROBES = "during rollouts", "feedback unanswered", "during probes"
MET = [
    # The engine timed out: refused as if locked, whether it has trained or not.
    Met(SENT, "409", "after training", again(lambda: status(409, "the adapter is locked", applied=True), 1)),
    Met(SENT, "409", "not trained", again(lambda: status(409, "the adapter is locked"), 1)),
    Met(SENT, "500", "after training", again(lambda: status(500, "reload failed", applied=True), 1), ALL),
    Met(SENT, "500", "plain, after training", again(lambda: text(500, applied=True), 1), NONE),
    Met(SENT, "500", "plain, not trained", again(lambda: text(500), 1)),
    Met(SENT, "503", "not idle", again(lambda: status(503, "vLLM did not go idle"), 1)),
    Met(SENT, "503", "after training", again(lambda: status(503, "restarting", applied=True), 1)),
    Met(SENT, "time-out", "after training", held("before"), ALL, {"feedback_s": 0.4}),
    Met(SENT, "time-out", "never trained", held("never"), PAIR, {"feedback_s": 0.4}),
    Met(SENT, "malformed", "after training", again(malformed, 1), PAIR),
    Met(SENT, "truncated", "after training", again(truncated, 1), ALL),
    Met(SENT, "null", "status", again(lambda: nulled("status"), 1), NONE),
    Met(SENT, "null", "lora_id", again(lambda: nulled("lora_id"), 1), NONE),
    Met(SENT, "null", "metadata", again(lambda: nulled("distill_result", "metadata"), 1), NONE),
    Met(SENT, "null", "number of updates", again(lambda: nulled(*COUNT), 1)),
    # A 200 that says no, one that counts what cannot be, and bodies that are more than they seem.
    Met(SENT, "malformed", "a status of error, not trained", again(not_trained, 1)),
    Met(SENT, "malformed", "a status of error, after training", again(lambda: edit(failed), 1), ONE),
    Met(SENT, "malformed", "a gzip bomb, after training", again(bomb, 1), NONE),
    Met(SENT, "malformed", "halves of characters", again(lambda: edit(halved), 1), NONE),
    Met(SENT, "malformed", "a number of 400 digits", again(lambda: edit(huge), 1), ONE),
    Met(ROLLOUTS, "malformed", "halves of characters", again(lambda: edit(halves_in_answer), 1), ONE),
    Met(PROBES, "malformed", "a gzip bomb", again(bomb, 1), ONE),
    Met(ROLLOUTS, "500", "plain, stays", again(lambda: text(500), 12), ONE),
    Met(ROLLOUTS, "503", "passes", again(lambda: status(503), 1), ONE),
    Met(ROLLOUTS, "503", "stays", again(lambda: status(503), 6), SAMPLER),
    Met(ROLLOUTS, "time-out", "of each try", again(lambda: hold(Gate()), 3), ONE, {"generate_s": 0.4}),
    Met(ROLLOUTS, "malformed", "an answer", again(malformed, 1), ONE),
    Met(ROLLOUTS, "truncated", "an answer", again(truncated, 1), ONE),
    Met(ROLLOUTS, "null", "content", again(lambda: nulled("choices", 0, "message", "content"), 1), ONE),
    Met(PROBES, "500", "JSON", again(lambda: status(500), 1), ONE),
    Met(PROBES, "503", "stays", again(lambda: status(503), 12), SAMPLER),
    Met(PROBES, "time-out", "of each try", again(lambda: hold(Gate()), 3), ONE, {"generate_s": 0.4}),
    Met(PROBES, "malformed", "a score", again(malformed, 1), ONE),
    Met(PROBES, "truncated", "a score", again(truncated, 1), ONE),
    Met(PROBES, "null", "logprobs", again(lambda: nulled("logprobs"), 1), ONE),
]


@dataclass(frozen=True)
class Case:
    boundary: str
    fault: str
    detail: str
    profile: str
    met: Met | None = None
    point: Point | None = None


def named(case: Case) -> str:
    return f"{case.fault} {case.boundary} ({case.detail}) {case.profile}"


@pytest.fixture
def profile(case: Case) -> str:
    return case.profile


REQUESTS = [Case(met.boundary, met.fault, met.what, name, met=met) for met in MET for name in met.profiles]


@pytest.mark.parametrize("case", cells(REQUESTS, named))
def test_a_request_meets_a_fault(case: Case, arena: Arena):
    assert case.met is not None
    endpoint, is_it = arena.where(case.boundary)
    arena.fake.faults.add(endpoint, *case.met.make(), when=is_it)
    arena.run(**case.met.short)
    arena.finish()
    arena.check()


DEATHS = [
    Case(boundary, "death", detail, name)
    for boundary, detail, names in (
        (ROLLOUTS, "before it answers", SAMPLER),
        (SENT, "before applying", PAIR),
        (SENT, "after applying", ALL),
        (PROBES, "before it answers", ONE),
    )
    for name in names
]


@pytest.mark.parametrize("case", cells(DEATHS, named))
def test_the_deployment_dies_on_a_request(case: Case, arena: Arena):
    endpoint, is_it = arena.where(case.boundary)
    dies = calling(arena.fake.die, applied=case.detail == "after applying")
    arena.fake.faults.add(endpoint, dies, when=is_it)
    arena.run()
    arena.fake.restart()
    arena.finish()
    arena.check()


HOOKED_DEATHS: list[tuple[str, Point, tuple[str, ...]]] = [
    ("before rollouts", "line of the step before appended", SAMPLER),
    ("before feedback", "feedback not yet sent", PAIR),
    ("feedback answered", "answer arrived", ALL),
    ("while appending", "half of the line written", ONE),
]


@pytest.mark.parametrize(
    "case",
    cells([Case(b, "death", point, name, point=point) for b, point, names in HOOKED_DEATHS for name in names], named),
)
def test_the_deployment_dies_between_requests(case: Case, arena: Arena):
    assert case.point is not None
    with hooked(Hook(case.point, arena.fake.close, arena.profile.feedback_call)) as watch:
        assert not arena.run()
    assert watch.acted
    arena.fake.restart()
    arena.finish()
    arena.check()


FULL_DISKS: list[tuple[str, Point, tuple[str, ...]]] = [
    ("before feedback", "intent half written", PAIR),
    ("feedback answered", "answer half recorded", ALL),
    ("while appending", "half of the line written", ONE),
    ("while appending", "line written, not yet finished", SAMPLER),
]


@pytest.mark.parametrize(
    "case",
    cells([Case(b, "ENOSPC", point, name, point=point) for b, point, names in FULL_DISKS for name in names], named),
)
def test_the_disk_is_full(case: Case, arena: Arena):
    assert case.point is not None
    with hooked(Hook(case.point, disk_full, arena.profile.feedback_call)) as watch:
        assert not arena.run()
    assert watch.acted
    assert "No space left" in str(arena.errors[0])
    assert (arena.job.folder / "steps.jsonl").read_bytes() == arena.seen[-1], "a part of a line was left"
    arena.finish()
    arena.check()

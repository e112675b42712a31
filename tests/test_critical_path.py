"""What the fake records as a lower bound of time: `tests.fake_claas.critical_path` on schedules worked out by hand."""

from __future__ import annotations

import pytest

from tests.fake_claas.critical_path import (
    CHAT,
    FEEDBACK,
    SCORE,
    Limits,
    Phase,
    PreferenceRun,
    least_of_all,
    least_of_preference,
    least_of_steps,
    runs_seen,
)
from tests.fake_claas.recorder import Request, Span

LIMITS = Limits({CHAT: 0.1, SCORE: 0.03, FEEDBACK: 0.8}, in_flight=4)


def span(path: str, began: float, ended: float, adapter: str = "eval/a-init") -> Span:
    body = {"requests": [{"lora_id": adapter}]} if path == FEEDBACK else {"model": adapter.replace("/", "-")}
    return Span(Request("POST", path, "", {}, body, ("127.0.0.1", 1)), began, ended)


def preference(*phases: tuple[int, int]) -> PreferenceRun:
    feedback = [span(FEEDBACK, 0.0, 0.8)] * (len(phases) - 1)
    return PreferenceRun("a", [Phase(chats, scores) for chats, scores in phases], feedback)


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [
        (Phase(), 0.0),
        (Phase(chats=1), 0.1),
        (Phase(scores=4), 0.03),
        (Phase(chats=5), 0.2),  # five equal jobs on four slots are two rounds
        (Phase(chats=4, scores=40), (0.4 + 1.2) / 4),  # the slots are full all the time
    ],
)
def test_a_phase(phase, seconds):
    assert LIMITS.least(phase) == pytest.approx(seconds)


def test_a_preference_is_its_phases_and_its_feedback_in_turn():
    run = preference((4, 0), (8, 0), (4, 0))
    assert least_of_preference(run, LIMITS) == pytest.approx(0.1 + 0.8 + 0.2 + 0.8 + 0.1)
    assert least_of_steps(run, LIMITS) == pytest.approx(0.8 + 0.2 + 0.8)


def test_preferences_one_after_the_other_side_by_side_and_with_one_feedback_at_a_time():
    three = [preference((4, 0), (4, 0))] * 3
    assert least_of_all(three, LIMITS, "tinker") == pytest.approx(3.0)
    assert least_of_all(three, LIMITS, "modal") == pytest.approx(1.0)
    assert least_of_all(three, LIMITS, "local") == pytest.approx(0.1 + 2.4 + 0.1)


def test_side_by_side_all_share_the_limit():
    three = [preference((400, 0), (4, 0))] * 3
    assert least_of_all(three, LIMITS, "modal") == pytest.approx(3 * 404 * 0.1 / 4)


def test_requests_are_told_apart_by_adapter_and_phase():
    seen = [
        span(CHAT, 1.0, 1.1),
        span(SCORE, 1.0, 1.03, "eval/b-init"),
        span(FEEDBACK, 1.1, 1.9),
        span(SCORE, 1.9, 1.93),
        Span(Request("GET", "/v1/health", "", {}, None, ("127.0.0.1", 1)), 0.0, 0.1),
    ]
    first, second = runs_seen(seen)
    assert first.phases == [Phase(chats=1), Phase(scores=1)]
    assert (first.began, first.ended) == (1.0, 1.93)
    assert first.steps_s == pytest.approx(0.8)
    assert second.phases == [Phase(scores=1)]

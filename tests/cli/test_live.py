"""What an evaluation shows while it runs: a line a preference, its own count, and the time that is left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from claas_assets.cli import live
from claas_assets.cli.live import TerminalProgress
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event

CONFIG = EvalConfig(preferences=["identity", "concise"], num_steps=2)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


def progress_on(terminal: bool) -> tuple[TerminalProgress, io.StringIO]:
    out = io.StringIO()
    return TerminalProgress(CONFIG, Console(file=out, force_terminal=terminal, color_system=None, width=80)), out


def rows(progress: TerminalProgress) -> dict[str, str]:
    return {task.description: task.fields["count"] for task in progress.live.tasks}


def test_each_preference_has_a_line_with_its_own_count(clock: Clock):
    progress, _ = progress_on(terminal=True)
    for name in CONFIG.preferences:
        progress(Event(name, "adapter", "making adapter"))
    progress(Event("identity", "probes", "full snapshot", done=81, total=340))
    progress(Event("concise", "probes", "full snapshot", done=67, total=340))
    shown = rows(progress)
    assert shown["identity baseline · full snapshot"] == "81/340"
    assert shown["concise baseline · full snapshot"] == "67/340"


def test_a_stage_without_a_count_does_not_keep_that_of_the_last_one(clock: Clock):
    progress, _ = progress_on(terminal=True)
    progress(Event("identity", "probes", "light snapshot", step=0, done=34, total=34))
    progress(Event("identity", "feedback", "training on the feedback", step=1))
    assert rows(progress)["identity step 2/2 · training on the feedback"] == ""
    task = progress.live.tasks[-1]
    assert (task.total, task.finished) == (None, False)


def test_a_finished_preference_has_a_lasting_line_and_no_live_one(clock: Clock):
    progress, out = progress_on(terminal=True)
    progress(Event("identity", "probes", "full snapshot", step=1, done=1, total=300))
    progress(Event("identity", "step", "step 2 of 2 done", step=1, numbers={"general": 0.5, "entropy_ratio": None}))
    assert out.getvalue() == "identity  step 2 of 2 done  general 0.5\n"
    assert not any(description.startswith("identity") for description in rows(progress))


def test_time_left_follows_the_pace_and_ends_with_the_work(clock: Clock):
    progress, _ = progress_on(terminal=True)
    for name in CONFIG.preferences:
        progress(Event(name, "adapter", "making adapter"))
    assert progress.time_left() == ""
    clock.now += 60
    for name in CONFIG.preferences:
        progress(Event(name, "baseline", "baseline measured"))
    # Two baselines, 6 of the 16 steps' worth of work, took 60 s.
    assert progress.time_left() == "about 2 min left"
    for step in (0, 1):
        for name in CONFIG.preferences:
            progress(Event(name, "step", "done", step=step))
    assert progress.time_left() == ""


def test_without_a_terminal_a_line_a_minute_says_how_far_it_is(clock: Clock):
    progress, out = progress_on(terminal=False)
    for done in range(0, 300, 30):
        progress(Event("identity", "probes", "full snapshot", done=done, total=340))
        clock.now += 20
    assert out.getvalue().splitlines() == [
        "identity  baseline: 90/340 requests",
        "identity  baseline: 180/340 requests",
        "identity  baseline: 270/340 requests",
    ]

"""Forks of one process: what one of them does to the others when it is killed, and when all are stopped."""

import io
import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest

from claas_assets.launch import side_by_side


@pytest.fixture
def beside(monkeypatch):
    """`beside(work, tell)`: two preferences side by side, each of which does `work(name, pen)`; what failed."""
    reader, writer = os.pipe()  # an input that does not end
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(reader, "rb")))

    def run(work, tell):
        monkeypatch.setattr(side_by_side, "_work", lambda launch, job, name, pen: work(name, pen))
        config = SimpleNamespace(preferences=["one", "two"], parallel_preferences=2, metrics=[])
        launch = SimpleNamespace(config=config, graph=SimpleNamespace(resolve_job_def=lambda job: None))
        return side_by_side.side_by_side(launch, "evaluate", tell)

    yield run
    os.close(writer)


def test_one_that_is_killed_in_the_middle_of_a_word_silences_no_other(beside):
    def work(name, pen):
        if name == "one":
            os.write(pen.fileno(), b"\0\0\1\0half")  # the length of a message, and less than that
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(2_000):  # more than a pipe holds
            pen.send({"event": {"text": "x" * 100}})
        pen.send({"ended": name, "reason": None})

    told = []
    failures = beside(work, told.append)

    assert failures == {"one": "its process ended with code -9; see what it printed"}
    assert {"ended": "two", "reason": None} in told
    assert sum("event" in message for message in told) == 2_000


def test_all_are_told_to_stop_before_any_is_waited_for(beside):
    both = side_by_side._context.Barrier(2, timeout=30)

    def work(name, pen):
        try:
            pen.send({"event": {"name": name}})
            threading.Event().wait(60)
        except KeyboardInterrupt:
            both.wait()  # breaks where the other one is not told meanwhile
            pen.send({"ended": name, "stopped": True})

    told = []

    def stop_when_both_work(message):
        told.append(message)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside(work, stop_when_both_work)

    assert sorted(message["ended"] for message in told[2:]) == ["one", "two"]
    assert all(message["stopped"] for message in told[2:])

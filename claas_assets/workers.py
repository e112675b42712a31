"""Preferences side by side: a process each, since Dagster's runs do not share one.

A process is started by its command line rather than forked: a caller's own script needs no
`if __name__ == "__main__"` for it, and threads that already run do no harm.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event, Reporter

_ENDED = object()


def run_side_by_side(config: EvalConfig, job: str, listener: Reporter) -> dict[str, str]:
    """Run `job` for each preference, `parallel_preferences` at once; what failed, with the reason.

    Events reach `listener` in this thread. Raises `KeyboardInterrupt` on Ctrl-C, and where one was stopped
    in the UI, when all have ended.
    """
    waiting = list(config.preferences)
    failures: dict[str, str] = {}
    stopped = False
    said: queue.Queue[tuple[str, Any]] = queue.Queue()
    running: dict[str, subprocess.Popen[str]] = {}
    with _ended_in_any_case(running):
        while running or (waiting and not stopped):
            while waiting and not stopped and len(running) < config.parallel_preferences:
                preference = waiting.pop(0)
                running[preference] = _start(config, job, preference, said)
            preference, message = said.get()
            if message is _ENDED:
                process = running.pop(preference)
                if process.wait() != 0 and preference not in failures:
                    failures[preference] = f"its process ended with code {process.returncode}; see what it printed"
            elif "event" in message:
                listener(Event(**message["event"]))
            elif "stopped" in message:
                stopped = True
            elif message["reason"] is not None:
                failures[preference] = message["reason"]
    if stopped:
        raise KeyboardInterrupt
    return failures


def _start(config: EvalConfig, job: str, preference: str, said: queue.Queue[tuple[str, Any]]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "claas_assets.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None
    order = {"config": config.model_dump(mode="json"), "job": job, "preference": preference}
    with contextlib.suppress(BrokenPipeError):  # it has ended already: its code says how
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    threading.Thread(target=_listen, args=(process, preference, said), name=preference, daemon=True).start()
    return process


def _listen(process: subprocess.Popen[str], preference: str, said: queue.Queue[tuple[str, Any]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put((preference, json.loads(line)))
    said.put((preference, _ENDED))


@contextlib.contextmanager
def _ended_in_any_case(running: dict[str, subprocess.Popen[str]]) -> Iterator[None]:
    """Whatever happens here, no process is left behind: each is told to stop, and waited for."""
    try:
        yield
    finally:
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()

"""Preferences side by side: a process each (`worker.py`), since Dagster's runs do not share one."""

import base64
import contextlib
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event, Reporter


def run_all_side_by_side(config: EvalConfig, job: str, listener: Reporter) -> dict[str, str]:
    """As `whole.run_all`, `parallel_preferences` at once, in processes of their own.

    Raises `KeyboardInterrupt` on Ctrl-C, and where one was stopped in the UI, when all have ended.
    """
    missing, last = {*config.preferences, "summary"}, {}
    with _worker({"config": config.model_dump(mode="json"), "job": job}) as process:
        failures: dict[str, str] = {}
        for message in _messages(process):
            if "event" in message:
                listener(Event(**message["event"]))
            elif "ended" in message:
                missing.discard(message["ended"])
                if message.get("reason") is not None:
                    failures[message["ended"]] = message["reason"]
            else:
                last = message
        code = process.wait()
    if last.get("stopped"):
        raise KeyboardInterrupt
    if "raised" in last:
        raise pickle.loads(base64.b64decode(last["raised"]))  # of our own process
    if "failures" in last:
        return dict(last["failures"])
    return failures | dict.fromkeys(missing, f"the process that ran it ended with code {code}; see what it printed")


def _messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


@contextlib.contextmanager
def _worker(order: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Whatever happens here, no process is left behind: it is told to stop, and waited for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "claas_assets.launch.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # a terminal's Ctrl-C reaches it through us, once: twice would break its tidying up
    )
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its code says how
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait()

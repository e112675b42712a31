"""Preferences side by side, a process each: `python -m claas_assets.launch.worker`, started by `workers.py`.

Imports everything once and forks for each preference, so that three cost little more than one. It is a
program of its own because forking is safe only where no thread runs, and because a caller's script then
needs no `if __name__ == "__main__"` for it.

Reads one line of JSON, {"config": …, "job": …}; writes a line of JSON an event, {"event": …}, and one for
each preference as it ends: {"ended": name, "reason": null or why it failed}, or {"ended": name, "stopped":
true}. The end of its input stops it as Ctrl-C does: then whoever started it is gone.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import asdict
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import claas_assets.definitions  # noqa: F401 - imported here, before the forks
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.progress import listening
from claas_assets.launch.dagster_runs import run_job

_fork = multiprocessing.get_context("fork")


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
    # What libraries print must not stand between the lines of the protocol.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = json.loads(sys.stdin.readline())
    config, said = load_config(order["config"]), _fork.SimpleQueue()
    waiting = list(config.preferences)
    running: dict[str, ForkProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < config.parallel_preferences:
                name = waiting.pop(0)
                running[name] = _fork.Process(target=_work, args=(config, order["job"], name, said), name=name)
                running[name].start()
            for message in _next_of(running, said):
                waiting = [] if message.get("stopped") else waiting
                answers.write(json.dumps(message) + "\n")
                answers.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        for process in running.values():
            _stop(process)
        with contextlib.suppress(BrokenPipeError):  # whoever started this was killed: nobody reads
            while not said.empty():
                answers.write(json.dumps(said.get()) + "\n")
            answers.close()


def _next_of(running: dict[str, ForkProcess], said: SimpleQueue[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the processes say next; those that have ended leave `running`. An ended input interrupts."""
    reader: Any = said._reader  # type: ignore[attr-defined]
    stdin = sys.stdin.fileno()
    ready = wait([reader, stdin, *(process.sentinel for process in running.values())])
    if stdin in ready and not sys.stdin.read():
        raise KeyboardInterrupt
    messages = []
    ended = [name for name, process in running.items() if process.sentinel in ready]
    while not said.empty():
        messages.append(said.get())
    for name in ended:
        process = running.pop(name)
        process.join()
        if process.exitcode != 0:
            reason = f"its process ended with code {process.exitcode}; see what it printed"
            messages.append({"ended": name, "reason": reason})
    return messages


def _work(config: EvalConfig, job: str, preference: str, said: SimpleQueue[dict[str, Any]]) -> None:
    """One preference, in a process of its own."""
    import dagster as dg

    threading.Thread(target=_stop_when_alone, name="parent-is-gone", daemon=True).start()
    try:
        with dg.DagsterInstance.get() as instance, listening(lambda event: said.put({"event": asdict(event)})):
            reason = run_job(config, instance, job, preference)
        said.put({"ended": preference, "reason": reason})
    except KeyboardInterrupt:
        said.put({"ended": preference, "stopped": True})


def _stop(process: ForkProcess) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGINT)
    process.join()


def _stop_when_alone() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()

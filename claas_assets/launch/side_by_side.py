"""Preferences side by side: a fork for each, so that three cost little more than one. No thread may run here."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import dagster as dg

from claas_assets.evaluation.progress import listening
from claas_assets.launch.dagster_runs import Launch, run_job

Tell = Callable[[dict[str, Any]], None]

_fork = multiprocessing.get_context("fork")


def side_by_side(launch: Launch, job: str, tell: Tell) -> dict[str, str]:
    """Run `job` for each preference, `parallel_preferences` at once; what failed, with the reason.

    `tell` hears {"event": …} of each event, and {"ended": name, "reason": null or why it failed} of each preference.
    Raises `KeyboardInterrupt` where one was stopped, when all have ended.
    """
    config = launch.config
    # Before the forks, once for all of them: the job, which the graph keeps, and the slow imports of scoring.
    launch.graph.resolve_job_def(job)
    for module in ("scipy.special", *(["rouge_score.rouge_scorer"] if "collapse" in config.metrics else [])):
        import_module(module)
    said: SimpleQueue[dict[str, Any]] = _fork.SimpleQueue()
    waiting, stopped = list(config.preferences), False
    running: dict[str, ForkProcess] = {}
    failures: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < config.parallel_preferences:
                name = waiting.pop(0)
                running[name] = _fork.Process(target=_work, args=(launch, job, name, said), name=name)
                running[name].start()
            for message in _next_of(running, said):
                stopped = stopped or message.get("stopped", False)
                if message.get("reason") is not None:
                    failures[message["ended"]] = message["reason"]
                tell(message)
            waiting = [] if stopped else waiting
    finally:
        for process in running.values():
            _stop(process)
        while not said.empty():
            tell(said.get())
    if stopped:
        raise KeyboardInterrupt
    return failures


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


def _work(launch: Launch, job: str, preference: str, said: SimpleQueue[dict[str, Any]]) -> None:
    """One preference, in a process of its own."""
    threading.Thread(target=_stop_when_alone, name="parent-is-gone", daemon=True).start()
    try:
        with dg.DagsterInstance.get() as instance, listening(lambda event: said.put({"event": asdict(event)})):
            reason = run_job(replace(launch, instance=instance), job, preference)
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

"""Preferences side by side: a fork for each, so that three cost little more than one. No thread may run here."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, NamedTuple

import dagster as dg

from claas_assets.evaluation.progress import listening
from claas_assets.launch.dagster_runs import Launch, run_job

Tell = Callable[[dict[str, Any]], None]

_context = multiprocessing.get_context("fork")


class _Fork(NamedTuple):
    """A preference at work. Its pipe is its own: one that is killed in the middle of a word silences no other."""

    process: ForkProcess
    said: Connection


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
    waiting, stopped = list(config.preferences), False
    running: dict[str, _Fork] = {}
    failures: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < config.parallel_preferences:
                name = waiting.pop(0)
                running[name] = _start(launch, job, name)
            for message in _next_of(running, sys.stdin.fileno()):
                stopped = stopped or message.get("stopped", False)
                if message.get("reason") is not None:
                    failures[message["ended"]] = message["reason"]
                tell(message)
            waiting = [] if stopped else waiting
    finally:
        for fork in running.values():  # all of them at once: none goes on training while another tidies up
            if fork.process.pid is not None and fork.process.is_alive():
                os.kill(fork.process.pid, signal.SIGINT)
        while running:
            for message in _next_of(running):
                tell(message)
    if stopped:
        raise KeyboardInterrupt
    return failures


def _start(launch: Launch, job: str, name: str) -> _Fork:
    said, pen = _context.Pipe(duplex=False)
    process = _context.Process(target=_work, args=(launch, job, name, pen), name=name)
    process.start()
    pen.close()  # so that the pipe ends with the process
    return _Fork(process, said)


def _next_of(running: dict[str, _Fork], stdin: int | None = None) -> list[dict[str, Any]]:
    """What the processes say next; those that have ended leave `running`. An ended `stdin` interrupts."""
    sources = [source for fork in running.values() for source in (fork.said, fork.process.sentinel)]
    ready = wait([*sources, *([] if stdin is None else [stdin])])
    if stdin in ready and not sys.stdin.read():
        raise KeyboardInterrupt
    messages = []
    for name, fork in list(running.items()):
        if fork.said in ready and (message := _word_of(fork)) is not None:
            messages.append(message)
        elif fork.said in ready or fork.process.sentinel in ready:
            del running[name]
            fork.process.join()
            fork.said.close()
            if fork.process.exitcode != 0:
                reason = f"its process ended with code {fork.process.exitcode}; see what it printed"
                messages.append({"ended": name, "reason": reason})
    return messages


def _word_of(fork: _Fork) -> dict[str, Any] | None:
    """The next message; None where the process has ended, be it in the middle of one."""
    try:
        return dict(fork.said.recv())
    except (EOFError, OSError):
        return None


def _work(launch: Launch, job: str, preference: str, pen: Connection) -> None:
    """One preference, in a process of its own."""
    threading.Thread(target=_stop_when_alone, name="parent-is-gone", daemon=True).start()
    one_at_a_time = threading.Lock()

    def say(**message: Any) -> None:
        with one_at_a_time:
            pen.send(message)

    try:
        with dg.DagsterInstance.get() as instance, listening(lambda event: say(event=asdict(event))):
            reason = run_job(replace(launch, instance=instance), job, preference)
        say(ended=preference, reason=reason)
    except KeyboardInterrupt:
        say(ended=preference, stopped=True)


def _stop_when_alone() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)

"""Dagster runs in this process, on the user's instance: started, stopped from the UI, buried when they were killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import DagsterStorageError

if TYPE_CHECKING:
    import dagster as dg

PROCESS_TAG = "claas/process"
"""Host, process id and start of the process: what tells a run that is at work from one that was killed."""

_WATCH_S = 1.0
_CLOCKS_DIFFER_S = 2.0


@dataclass(frozen=True)
class Launch:
    """What every run of one evaluation has: its configuration, the instance, and the graph, which is made once."""

    config: EvalConfig
    instance: dg.DagsterInstance
    graph: dg.Definitions


def run_job(launch: Launch, job: str, partition: str | None) -> str | None:
    """Run `job` here; None, or why it failed. To be called in the main thread of a process.

    Raises `KeyboardInterrupt` on Ctrl-C and where the run is terminated in the UI.
    """
    import logging

    from claas_assets.defs.run_folder import RUN_TAG
    from claas_assets.defs.settings import run_config_for

    config, instance = launch.config, launch.instance
    logging.getLogger("dagster").setLevel(logging.ERROR)
    run_id = str(uuid4())
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    try:
        with storage_in_words(), _stopping_when_terminated(instance, run_id):
            result = launch.graph.resolve_job_def(job).execute_in_process(
                instance=instance,
                partition_key=partition,
                tags={RUN_TAG: config.run_id, PROCESS_TAG: process_tag()},
                run_config={**run_config_for(config), **quiet},
                raise_on_error=False,
                run_id=run_id,
            )
        return None if result.success else _reason(result)
    except DagsterStorageError as error:
        return str(error)
    except KeyboardInterrupt:
        _report_canceled(instance, run_id)
        raise


@contextlib.contextmanager
def storage_in_words() -> Iterator[None]:
    """Where Dagster's own storage fails: raises `DagsterStorageError`, one line for the database's forty."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DagsterStorageError(
            f"Dagster's storage (DAGSTER_HOME is {os.environ.get('DAGSTER_HOME')}) failed: "
            f"{getattr(error, 'orig', None) or error}. Make room there, or see to its permissions; what was trained "
            "is in the run folder"
        ) from error


def _report_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Dagster takes an interrupt for a failure, or leaves a run that had not begun as it is."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status.value != "CANCELED":
        instance.report_run_canceled(run, "stopped with Ctrl-C, or in the UI")
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """What the first failed step says."""
    from claas_assets.defs.failures import was_interrupted, words_of

    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        if event.is_failure and error is not None:
            if was_interrupted(error):
                raise KeyboardInterrupt  # Dagster has recorded the stop; the other preferences must not start
            return words_of(error)
    return "the run failed; see it in dagster dev"


@contextlib.contextmanager
def _stopping_when_terminated(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Stop as on Ctrl-C when the UI asks the run to: Dagster tells a run of our own only by its status."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_S):
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status.value in ("CANCELING", "CANCELED"):
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, name="terminated-in-the-ui", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of killed processes of this machine, and free the pool slots that they hold; their ids.

    Dagster itself never learns of a process that was killed: its run would stand as started, and its slot
    would keep the next run waiting, for ever.
    """
    import dagster as dg

    status = dg.DagsterRunStatus
    begun = dg.RunsFilter(statuses=[status.NOT_STARTED, status.STARTING, status.STARTED, status.CANCELING])
    dead = [run for run in instance.get_runs(filters=begun) if _is_dead(run.tags.get(PROCESS_TAG, ""))]
    for run in dead:
        instance.report_run_failed(run, "the process of this run ended without saying so (it was killed)")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def process_tag() -> str:
    """This process as `host/pid/start`: its start tells it from a later one with the same id."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time()}"


def _is_dead(tag: str) -> bool:
    """Whether a process ran on this host and is over. Another host's runs are not ours to judge."""
    host, pid, start = (*tag.split("/"), "", "")[:3]
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(start)) < _CLOCKS_DIFFER_S
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, ValueError):
        return False  # it is there; who it is cannot be seen

"""One stack per machine and model: find the running one, or start it.

Light on purpose (no torch): the command line and Dagster import it. A stack runs detached, tells
its address in a registry file once it serves, writes to a log file beside it, and ends by itself
when nothing has asked it anything for a while.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from filelock import FileLock

from claas_assets import __version__
from claas_assets.stack.places import canonical_model, default_state_folder

IDLE_S = 900.0  # default of $CLAAS_STACK_IDLE_S
START_S = 1800.0  # the weights may have to be fetched over a slow line
SILENT_S = 600.0  # how long a living stack may take to answer
POLL_S = 0.1


class StackError(RuntimeError):
    """The embedded stack could not be started; the message ends with the tail of its log."""


def ensure_running(
    base_model: str, *, on_progress: Callable[[str], None] | None = None, threads: int | None = None
) -> str:
    """The base URL of a stack that serves `base_model` on this machine; starts one where none does.

    Callers at the same time, in any process, get the same one. Blocks until it has loaded its model
    and answers. Raises `StackError` where it ends before that.
    """
    name = canonical_model(base_model)
    folder = default_state_folder(name)
    if url := _running(folder, name):
        return url
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "start.lock", fallback_to_soft=False):
            if url := _running(folder, name):
                return url
            if url := _wait_for_living(folder, name, on_progress or (lambda _: None)):
                return url
            return _start(folder, name, on_progress or (lambda _: None), threads)
    except OSError as error:
        raise StackError(
            f"{folder}: the embedded stack cannot keep its files there ({error.strerror or error}): set "
            "CLAAS_ASSETS_CACHE to a folder of a local disk that can be written to"
        ) from error


def _running(folder: Path, name: str) -> str | None:
    """The registered stack's URL, if it answers, is healthy, and is what is asked for."""
    entry = _entry(folder)
    health = _health(entry) if entry else {}
    wanted = ("healthy", name, __version__)
    found = (health.get("status"), health.get("base_model"), health.get("version"))
    return str(entry["url"]) if found == wanted else None


def _health(entry: dict[str, Any]) -> dict[str, Any]:
    """What a registered stack says of itself; nothing where it does not answer."""
    try:
        health = httpx.get(f"{entry['url']}/v1/health", timeout=5.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return health if isinstance(health, dict) else {}


def _wait_for_living(folder: Path, name: str, on_progress: Callable[[str], None]) -> str | None:
    """The URL of a registered stack that is alive, as soon as it answers; None once there is none.

    It is never ended from here: an evaluation may be using it. Raises `StackError` where it is of
    another version, or stays silent.
    """
    told = False
    deadline = time.monotonic() + SILENT_S
    while (entry := _entry(folder)) and (process := _process(entry)):
        if url := _running(folder, name):
            return url
        advice = f"end it (kill {process.pid}) if nothing uses it, or set claas_url to another deployment"
        if (version := _health(entry).get("version", __version__)) != __version__:
            raise StackError(f"the stack at {entry['url']} is of version {version}, this is {__version__}: {advice}")
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack at {entry['url']} is alive and has not answered for {SILENT_S:.0f} s: {advice}"
            )
        if not told:
            on_progress(f"waiting for the stack at {entry['url']} (process {process.pid}) to answer")
            told = True
        time.sleep(POLL_S)
    return None


def _entry(folder: Path) -> dict[str, Any]:
    try:
        entry = json.loads((folder / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return entry if {"url", "pid"} <= set(entry) else {}


def _start(folder: Path, name: str, on_progress: Callable[[str], None], threads: int | None) -> str:
    log = folder / "stack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(folder, name, threads),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
    told = 0
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        told = _tell(log, told, on_progress)
        if url := _running(folder, name):
            _tell(log, told, on_progress)
            return url
        if process.poll() is not None:
            raise StackError(f"the embedded stack ended with code {process.returncode}.\n{_tail(log)}")
        time.sleep(POLL_S)
    process.terminate()
    raise StackError(f"the embedded stack was not ready after {START_S:.0f} s.\n{_tail(log)}")


def _command(folder: Path, name: str, threads: int | None) -> list[str]:
    idle_s = os.environ.get("CLAAS_STACK_IDLE_S") or str(IDLE_S)
    command = [sys.executable, "-m", "claas_assets.stack", "--base-model", name, "--port", "0"]
    command += ["--state-dir", str(folder), "--registry", str(folder / "stack.json")]
    command += ["--idle-timeout", idle_s]
    return command + (["--threads", str(threads)] if threads else [])


def _environment() -> dict[str, str]:
    """The caller's, with this package importable also where it is not installed."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _tell(log: Path, told: int, on_progress: Callable[[str], None]) -> int:
    """Pass on the log's new progress lines; returns how many lines were read so far."""
    lines = log.read_text(errors="replace").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    for line in whole[told:]:
        if line.startswith("stack: "):
            on_progress(line.removeprefix("stack: ").strip())
    return len(whole)


def _tail(log: Path, lines: int = 20) -> str:
    try:
        end = log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        end = []
    return "\n".join([f"The end of {log}:", *end])


def _process(entry: dict[str, Any]) -> psutil.Process | None:
    """The process that wrote an entry. Process ids are used again, so its start time must agree too."""
    try:
        process = psutil.Process(int(entry["pid"]))
        same = abs(process.create_time() - entry["started"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, psutil.Error):
        return None

"""A Postgres of this machine in a folder of its own, for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER = "dagster"


class NoPostgres(Exception):
    """Why there is none here, and what to install."""


@contextmanager
def running_postgres() -> Iterator[dict[str, str]]:
    """The variables that deploy/dagster.yaml reads, for an empty database. Raises `NoPostgres`."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="claas-pg-", dir="/tmp"))  # a socket's path has to be short
    owner = _owner(folder)
    port = _free_port()
    try:
        _run([programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", USER, "--no-sync"], **owner)
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-k", folder, "-p", str(port), "-F",
                 "-c", "listen_addresses=127.0.0.1"],
                stdout=log, stderr=log, **owner,
            )  # fmt: skip
        try:
            _wait_until_ready(programs, port, server)
            yield {
                "DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(port), "DAGSTER_PG_USERNAME": USER,
                "DAGSTER_PG_PASSWORD": "unused", "DAGSTER_PG_DB": "postgres",
            }  # fmt: skip
        finally:
            server.send_signal(signal.SIGINT)  # ends the connections too
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """The newest of Debian's folders, which are not on the PATH; else where the PATH has it."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if found is None:
        raise NoPostgres("no Postgres server here: apt-get install postgresql")
    return Path(found).parent


def _owner(folder: Path) -> dict[str, Any]:
    """Postgres refuses to run as root: there it runs as the user that its package makes."""
    if os.geteuid() != 0:
        return {}
    try:
        shutil.chown(folder, "postgres", "postgres")
    except LookupError as error:
        raise NoPostgres("Postgres does not run as root, and there is no user named postgres") from error
    return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": folder}


def _run(command: list[Any], **owner: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, **owner)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-1000:]}")


def _wait_until_ready(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "5"]
        if subprocess.run(ready).returncode == 0:
            return
    raise RuntimeError(f"Postgres ended with {server.returncode} before it was ready")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

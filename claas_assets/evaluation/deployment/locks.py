"""What evaluations on one deployment share, across the processes of this machine.

All are file locks, which the system frees when a process ends, however it ends:

- the deployment itself, where it has one sampler: one preference at a time, from init to the last step;
- its feedback, where two updates at once would not fit;
- its request slots: `max_concurrency` bounds what all evaluations together have in flight.

Evaluations on two machines do not see each other's.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from filelock import FileLock

from claas_assets.evaluation.errors import DeploymentError
from claas_assets.evaluation.lock_folder import machine_lock, take

_POLL_S = 0.005, 0.2
"""Shortest and longest pause between two looks for a free file."""

_POLL_SHARE = 0.02
"""Of the time that a place is held for: a free one waits that long at most. Looking at 32 files 200 times a second
took a sixth of a processor in each of three processes, while a small model needed them both."""


def deployment_key(claas_url: str) -> str:
    """The deployment at an address, however that is spelled: resolved host, port and path.

    Every address of this machine is the same host. One that cannot be resolved is its own name.
    """
    url = urlsplit(claas_url)
    host, port = (url.hostname or "").rstrip("."), url.port or (443 if url.scheme == "https" else 80)
    try:
        addresses = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, port)}
    except OSError:
        addresses = {host}
    return f"{'this machine' if addresses & _own_addresses() else min(addresses)}:{port}{url.path.rstrip('/')}"


def _own_addresses() -> set[str]:
    own = {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}
    return own | {"127.0.0.1", "::1", "0.0.0.0", "::"}


def _digest(claas_url: str) -> str:
    return hashlib.sha256(deployment_key(claas_url).encode()).hexdigest()[:16]


@contextlib.contextmanager
def deployment_lock(
    claas_url: str, *, holder: str = "", timeout_s: float = -1, on_wait: Callable[[str], None] = lambda holder: None
) -> Iterator[None]:
    """Wait for the deployment and hold it. Reentrant in a process: a stage may take what its run holds.

    `holder` is what others are told while they wait for this one; `on_wait` is told who holds it now.
    Raises `DeploymentError` after `timeout_s` seconds; negative: waits without an end.
    """
    lock = machine_lock(f"{_digest(claas_url)}.lock", is_singleton=True)
    note = Path(lock.lock_file).with_suffix(".holder")
    reentered = lock.is_locked
    if not take(lock):
        on_wait(_told_by(note))
        if not take(lock, timeout_s):
            raise DeploymentError(
                f"{claas_url} has one sampler, and for {timeout_s:g} s it was held by {_told_by(note)}: wait for that "
                "evaluation or end it, then begin this one again"
            )
    try:
        if not reentered:
            with contextlib.suppress(OSError):  # another user's note of an earlier evaluation: it is only words
                note.write_text(f"{holder or 'an evaluation'} (process {os.getpid()})", encoding="utf-8")
        yield
    finally:
        lock.release()


def _told_by(note: Path) -> str:
    """Who holds the lock, as that one wrote it: the last word, which a killed process leaves too."""
    try:
        return note.read_text(encoding="utf-8")
    except OSError:
        return "another evaluation"


@contextlib.asynccontextmanager
async def feedback_lock(claas_url: str) -> AsyncIterator[None]:
    """One update at a time on this deployment."""
    lock = machine_lock(f"{_digest(claas_url)}.feedback.lock")
    await _acquire([lock])
    try:
        yield
    finally:
        lock.release()


class Slots:
    """`async with slots:` holds one of `limit` places among the requests to a deployment.

    Within a process a semaphore orders who is next; that one alone looks for a free file, so that a
    hundred waiting probes cost no more than one. How often it looks depends on how long requests take,
    which is the same for all processes: none looks oftener than another. It looks first at the file that this
    process gave back last, since each look at another's costs a tenth of a millisecond, and each process begins
    with files of its own: three that looked at the same ones in turn spent most of what a request costs here.
    """

    def __init__(self, claas_url: str, limit: int) -> None:
        key = _digest(claas_url)
        files = [machine_lock(f"{key}.slot{i}.lock") for i in range(limit)]
        self._free = random.sample(files, limit)
        self._own = asyncio.Semaphore(limit)
        self._next = asyncio.Lock()
        self._held: list[FileLock] = []
        self._taken: list[float] = []
        self._hold_s = 0.0

    async def __aenter__(self) -> None:
        await self._own.acquire()
        try:
            async with self._next:
                lock = await _acquire(self._free, self._hold_s)
                self._free.remove(lock)
                self._held.append(lock)
                self._taken.append(time.monotonic())
        except BaseException:  # a cancelled request, too, gives its place back
            self._own.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        lock = self._held.pop()
        lock.release()
        self._free.append(lock)
        held_s = time.monotonic() - self._taken.pop(0)
        self._hold_s += 0.2 * (held_s - self._hold_s)
        self._own.release()


async def _acquire(locks: list[FileLock], hold_s: float = 0.0) -> FileLock:
    """The last of `locks` that is free. Polled: the system has no waiting for one of several.

    `locks` may change meanwhile. `hold_s`: how long one is held, as far as is known.
    """
    shortest, longest = _POLL_S
    pause = min(max(shortest, _POLL_SHARE * hold_s), longest)
    while True:
        for lock in reversed(tuple(locks)):
            if take(lock):
                return lock
        await asyncio.sleep(pause)

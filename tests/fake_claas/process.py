"""The fake in a process of its own, for benchmarks: it takes no time from the interpreter that is measured."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.fake_claas.fake import FakeClaas
from tests.fake_claas.recorder import Span


@dataclass(frozen=True)
class Observed:
    """What the fake saw. Times of `spans` are those of `time.monotonic()`, which all processes of a machine share."""

    spans: list[Span]
    peak_concurrency: int
    updates: dict[str, int]
    cpu_s: float


class FakeProcess:
    """A `FakeClaas` at `url`, with seconds of latency by path ("*" for all others)."""

    def __init__(self, mode: str, latency_s: Mapping[str, float] | None = None, **settings: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, mode, dict(latency_s or {}), settings))
        self._process.start()
        self.url: str = self._pipe.recv()

    def observed(self) -> Observed:
        self._pipe.send("observed")
        seen: Observed = self._pipe.recv()
        return seen

    def close(self) -> None:
        self._pipe.send("end")
        self._process.join()

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def _serve(pipe: Connection, mode: str, latency_s: dict[str, float], settings: dict[str, Any]) -> None:
    with FakeClaas(mode, **settings) as fake:
        fake.latency_s.update(latency_s)
        pipe.send(fake.url)
        while _next(pipe) != "end":
            log = fake.log
            pipe.send(Observed(list(log.spans), log.peak_concurrency, fake.updates, time.process_time()))


def _next(pipe: Connection) -> str:
    """What is asked; the end too where whoever asked is gone."""
    try:
        return str(pipe.recv())
    except EOFError:
        return "end"

"""ASGI middleware around the fake: every request recorded, delayed or made to fail as a test says."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.fake_claas.faults import Fault, Faults, Gate


@dataclass(frozen=True)
class Request:
    """`body` is parsed JSON where it is JSON, else text; header names are in lower case.

    `client` is the other end's address and port: the same for requests over one connection.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    client: tuple[str, int]


@dataclass
class Span:
    """A request of `Log.requests` in time: seconds of a monotonic clock; `ended` is None until then."""

    request: Request
    began: float
    ended: float | None = None


class Log:
    """Requests in the order of their arrival; `spans` are the same ones with their times."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.spans: list[Span] = []
        self.peak_concurrency = 0
        self.peak_by_path: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()

    def at(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def bodies(self, path: str) -> list[Any]:
        return [request.body for request in self.at(path)]

    def count(self, path: str) -> int:
        return len(self.at(path))

    def begin(self, request: Request) -> int:
        """Returns which call of its path this is, from 1."""
        self.requests.append(request)
        self.spans.append(Span(request, time.monotonic()))
        self._calls[request.path] += 1
        self._now[request.path] += 1
        self.peak_concurrency = max(self.peak_concurrency, self._now.total())
        self.peak_by_path[request.path] = max(self.peak_by_path[request.path], self._now[request.path])
        return self._calls[request.path]

    def end(self, request: Request) -> None:
        self._now[request.path] -= 1
        next(span for span in reversed(self.spans) if span.request is request).ended = time.monotonic()


class Recorder:
    """`latency_s`: seconds added to each call of a path ("*" for all others)."""

    def __init__(self, app: ASGIApp, log: Log, faults: Faults, latency_s: dict[str, float]) -> None:
        self.app = app
        self.log = log
        self.faults = faults
        self.latency_s = latency_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        content = await read_body(receive)
        request = _request(scope, content)
        call = self.log.begin(request)
        try:
            await asyncio.sleep(self.latency_s.get(request.path, self.latency_s.get("*", 0.0)))
            fault = self.faults.take(request, call)
            replay = _replay(content)
            if fault is None:
                await self.app(scope, replay, send)
            else:
                await _fail(fault, self.app, scope, replay, send)
        finally:
            self.log.end(request)


async def _fail(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(fault.seconds)
    if fault.kind == "hold" and fault.gate is not None:
        await _hold(fault, fault.gate, app, scope, receive, send)
        return
    real = await _captured(app, scope, receive) if fault.applied else (200, [], b"")
    if fault.kind == "call" and fault.callback is not None:
        fault.callback()
    if fault.kind in ("disconnect", "call"):
        await _reset(send)
    elif fault.kind == "truncated":
        await _answer(send, real[0], real[1], real[2][: len(real[2]) // 2], complete=False)
    elif fault.kind == "edit" and fault.change is not None:
        changed = json.dumps(fault.change(json.loads(real[2]))).encode()
        await _answer(send, real[0], [(b"content-type", b"application/json")], changed)
    elif fault.kind == "trickle":
        await _trickle(send, real[0], fault.seconds)
    elif fault.kind == "delay":
        await _answer(send, *real)
    else:
        headers = [(b"content-type", fault.content_type.encode())]
        headers += [(name.encode(), value.encode()) for name, value in fault.headers]
        await _answer(send, fault.status, headers, fault.content)


async def _hold(fault: Fault, gate: Gate, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        real = await _captured(app, scope, receive) if fault.effect == "before" else None
        gate.reached.set()
        while not gate.is_open:
            await asyncio.sleep(0.002)
        if fault.effect == "never":
            await _reset(send)
        else:
            await _answer(send, *(real or await _captured(app, scope, receive)))
    finally:
        gate.left.set()


Headers = list[tuple[bytes, bytes]]


async def _captured(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
    """What the app would have answered; it has had its effect then."""
    status, headers, parts = 500, [], []

    async def capture(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, capture)
    return status, headers, b"".join(parts)


async def _answer(send: Send, status: int, headers: Headers, content: bytes, *, complete: bool = True) -> None:
    """An incomplete answer promises its full length and is left: the server then closes the connection."""
    if complete:
        headers = [(n, v) for n, v in headers if n != b"content-length"] + [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": not complete})


async def _trickle(send: Send, status: int, seconds: float) -> None:
    """White space before JSON is allowed, so each byte of it could be the beginning of a good answer."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    for _ in range(1000):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(seconds)


async def _reset(send: Send) -> None:
    """ASGI has no word for it; `send` is a method of the server's own cycle, which has the socket."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)  # the server notices, and does not answer by itself


async def read_body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(content: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


def _request(scope: Scope, content: bytes) -> Request:
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = content.decode("utf-8", errors="replace")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode(),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        client=tuple(scope["client"]),
    )

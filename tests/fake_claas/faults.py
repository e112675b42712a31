"""Faults to inject: what an endpoint's next call, or its n-th, meets instead of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Fault:
    """`applied`: the call has its effect before the fault (a training that is made and not answered)."""

    kind: Literal["answer", "disconnect", "truncated", "edit", "delay", "trickle"]
    applied: bool = False
    status: int = 200
    content: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    change: Callable[[Any], Any] | None = None


def status(code: int, detail: Any = "made to fail", *, applied: bool = False, headers: Any = ()) -> Fault:
    """A JSON answer with this status."""
    content = json.dumps({"detail": detail}).encode()
    return Fault("answer", applied=applied, status=code, content=content, headers=tuple(headers))


def text(code: int, words: str = "Internal Server Error", *, applied: bool = False) -> Fault:
    """A plain-text answer with this status."""
    return Fault("answer", applied=applied, status=code, content=words.encode(), content_type="text/plain")


def body(content: bytes, *, applied: bool = True) -> Fault:
    """A 200 with these bytes."""
    return Fault("answer", applied=applied, content=content)


def malformed(*, applied: bool = True) -> Fault:
    return body(b'{"status": "ok", ', applied=applied)


def disconnect(*, applied: bool = False) -> Fault:
    """The connection is reset, with nothing answered."""
    return Fault("disconnect", applied=applied)


def truncated() -> Fault:
    """Headers and half of the real answer, then the connection ends. The call has its effect."""
    return Fault("truncated", applied=True)


def edit(change: Callable[[Any], Any]) -> Fault:
    """The real JSON answer, changed."""
    return Fault("edit", applied=True, change=change)


def nulled(*path: str | int) -> Fault:
    """The real answer with null at `path`."""
    return edit(lambda answer: _set(answer, path, None))


def without(*path: str | int) -> Fault:
    """The real answer without the field at `path`."""

    def change(answer: Any) -> Any:
        holder = _at(answer, path[:-1])
        del holder[path[-1]]
        return answer

    return edit(change)


def delay(seconds: float) -> Fault:
    """The real answer, late."""
    return Fault("delay", applied=True, seconds=seconds)


def trickle(seconds: float) -> Fault:
    """A 200 and then nothing but a space every `seconds`, without end."""
    return Fault("trickle", applied=True, seconds=seconds)


class Faults:
    """A queue per endpoint (its path). A fault without `nth` meets the next call, else the n-th (from 1)."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, int | None, Fault]] = []

    def add(self, endpoint: str, *faults: Fault, nth: int | None = None) -> None:
        """Several faults meet successive calls."""
        for offset, fault in enumerate(faults):
            self._waiting.append((endpoint, None if nth is None else nth + offset, fault))

    def take(self, endpoint: str, call: int) -> Fault | None:
        for entry in self._waiting:
            if entry[0] == endpoint and entry[1] in (None, call):
                self._waiting.remove(entry)
                return entry[2]
        return None

    def __len__(self) -> int:
        return len(self._waiting)


def _at(answer: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        answer = answer[part]
    return answer


def _set(answer: Any, path: tuple[str | int, ...], value: Any) -> Any:
    _at(answer, path[:-1])[path[-1]] = value
    return answer

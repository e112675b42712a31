"""Faults to inject: what an endpoint's next call, or its n-th, meets instead of an answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tests.fake_claas.recorder import Request

Effect = Literal["before", "after", "never"]


class Gate:
    """Where a held call waits. `reached`: it is there; `left`: it has ended, after `open()`."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.left = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()


@dataclass(frozen=True)
class Fault:
    """`applied`: the call has its effect before the fault (a training that is made and not answered)."""

    kind: Literal["answer", "disconnect", "truncated", "edit", "delay", "trickle", "hold", "call"]
    applied: bool = False
    status: int = 200
    content: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    change: Callable[[Any], Any] | None = None
    gate: Gate | None = None
    effect: Effect = "before"
    callback: Callable[[], None] | None = None


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


def hold(gate: Gate, effect: Effect = "before") -> Fault:
    """The call waits at `gate`. Its effect comes before that (then it is answered late), after it, or never.

    Without an effect, the connection is reset once the gate opens.
    """
    return Fault("hold", gate=gate, effect=effect)


def calling(callback: Callable[[], None], *, applied: bool = False) -> Fault:
    """Runs `callback` in the server's thread (`FakeClaas.die` is one), then the connection is reset."""
    return Fault("call", applied=applied, callback=callback)


When = Callable[["Request"], bool]


@dataclass(frozen=True)
class _Waiting:
    endpoint: str
    fault: Fault
    nth: int | None
    when: When | None

    def meets(self, request: Request, call: int) -> bool:
        if self.endpoint != request.path or self.nth not in (None, call):
            return False
        return self.when is None or self.when(request)


class Faults:
    """A queue per endpoint (its path). A fault without `nth` meets the next call, else the n-th (from 1).

    `when` lets it pass by the calls for which it is false: a kind of call, or a state of the deployment.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, endpoint: str, *faults: Fault, nth: int | None = None, when: When | None = None) -> None:
        """Several faults meet successive calls."""
        for offset, fault in enumerate(faults):
            self._waiting.append(_Waiting(endpoint, fault, None if nth is None else nth + offset, when))

    def take(self, request: Request, call: int) -> Fault | None:
        for entry in self._waiting:
            if entry.meets(request, call):
                self._waiting.remove(entry)
                return entry.fault
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

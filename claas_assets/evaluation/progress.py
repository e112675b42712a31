"""What a long evaluation says while it works. Who shows it is up to the caller."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["deployment", "adapter", "baseline", "rollouts", "feedback", "probes", "step", "note"]


@dataclass(frozen=True)
class Event:
    """`done` of `total` requests of a stage; `numbers` are those of a finished stage (name → value)."""

    preference: str
    stage: Stage
    message: str
    step: int | None = None
    num_steps: int | None = None
    done: int | None = None
    total: int | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)


Reporter = Callable[[Event], None]


def silent(event: Event) -> None:
    """For callers that show nothing."""


_listeners: ContextVar[tuple[Reporter, ...]] = ContextVar("listeners", default=())


def listeners() -> tuple[Reporter, ...]:
    """Those who want to hear of evaluations that run in this context."""
    return _listeners.get()


@contextmanager
def listening(listener: Reporter) -> Iterator[None]:
    """Let `listener` hear every event of what runs inside."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)

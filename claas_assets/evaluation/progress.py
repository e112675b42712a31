"""What a long evaluation says while it works. Who shows it is up to the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

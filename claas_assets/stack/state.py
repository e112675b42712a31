"""What the endpoints share, and how a model's name finds its adapter."""

import asyncio
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field

from claas_assets import wire
from claas_assets.stack.adapters import UnknownAdapterError
from claas_assets.stack.completions import CompletionCache
from claas_assets.stack.engine import Engine
from claas_assets.stack.places import canonical_model

LOCK_WAIT_S = 120.0  # how long a feedback call waits for another update of its adapter


@dataclass
class State:
    """One application's engine, remembered completions, locks and request count."""

    engine: Engine
    base_model: str
    completions: CompletionCache = field(default_factory=CompletionCache)
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One update at a time of an adapter, by its id."""
    lock_wait_s: float = LOCK_WAIT_S
    last_request: float = field(default_factory=time.monotonic)
    """When the last answer was finished, monotonic seconds."""
    began: int = field(default_factory=lambda: int(time.time()))
    """Seconds since 1970."""
    running: int = 0
    """Requests that are being answered."""

    def begin_request(self) -> None:
        self.running += 1

    def end_request(self) -> None:
        self.running -= 1
        self.last_request = time.monotonic()

    def idle_s(self) -> float:
        """Seconds since the last answer, 0 while one is being made."""
        return 0.0 if self.running else time.monotonic() - self.last_request

    def adapter_of(self, model: str) -> str | None:
        """The adapter that a model name stands for, None for the base model.

        Raises `UnknownAdapterError` where it is neither.
        """
        if canonical_model(model) == self.base_model or wire.model_name(model) == wire.model_name(self.base_model):
            return None
        lora_id = self.engine.store.find(model)
        if lora_id is None:
            raise UnknownAdapterError(
                f"model {model!r} is neither the base model {self.base_model!r} nor an adapter of this stack"
            )
        return lora_id


def new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"

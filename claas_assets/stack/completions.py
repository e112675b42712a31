"""The completions that feedback can refer to: found again by their visible text.

Feedback names an answer by its text alone, so what was sampled (token ids, logprobs) is remembered
for a while: 100 entries, oldest out first, one hour.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from claas_assets.wire import cache_key_text

CAPACITY = 100
LIFETIME_S = 3600.0


@dataclass(frozen=True)
class Completion:
    """One answer as it was sampled."""

    messages: list[dict[str, str]]
    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]

    @property
    def has_system_message(self) -> bool:
        return any(message["role"] == "system" for message in self.messages)


class CompletionCache:
    """Identical answers share one entry: the latest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Completion]] = OrderedDict()

    def put(self, text: str, completion: Completion) -> None:
        key = _key(text)
        self._entries.pop(key, None)
        self._entries[key] = (self._clock(), completion)
        while len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)

    def get(self, text: str) -> Completion | None:
        key = _key(text)
        when, completion = self._entries.get(key, (0.0, None))
        if completion is not None and self._clock() - when > LIFETIME_S:
            del self._entries[key]
            return None
        return completion


def _key(text: str) -> str:
    return hashlib.sha256(cache_key_text(text).encode()).hexdigest()

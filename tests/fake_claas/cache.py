"""The completion cache: what a feedback item's answer is looked up in."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from claas_assets.wire import cache_key_text

ENTRIES = 100
AGE_S = 3600.0


@dataclass(frozen=True)
class Cached:
    """What is remembered of a completion beside its text."""

    has_logprobs: bool
    has_system_message: bool
    at: float = 0.0


class CompletionCache:
    """100 entries, oldest out first, for an hour. A later identical text replaces the earlier one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._entries: OrderedDict[str, Cached] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, text: str, *, has_logprobs: bool, has_system_message: bool) -> None:
        key = _key(text)
        self._entries.pop(key, None)
        self._entries[key] = Cached(has_logprobs, has_system_message, self.clock())
        while len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)

    def get(self, text: str) -> Cached | None:
        found = self._entries.get(_key(text))
        return found if found is not None and self.clock() - found.at < AGE_S else None


def _key(text: str) -> str:
    return hashlib.sha256(cache_key_text(text).encode()).hexdigest()

"""Scoring that begins while answers still arrive, so that the next step need not wait for it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from claas_assets.evaluation.metrics import get_metric
from claas_assets.evaluation.storage.records import Transcript

Prescore = Callable[[Transcript, Sequence[Transcript]], None]


class Prescoring:
    """Hands each transcript to the `prescore` of its metric, in a thread, with those that came before it."""

    def __init__(self, metrics: Sequence[str]) -> None:
        found = {name: getattr(get_metric(name), "prescore", None) for name in metrics}
        self._by_metric: dict[str, Prescore] = {name: prescore for name, prescore in found.items() if prescore}
        self._running: list[asyncio.Future[Any]] = []
        self._arrived: dict[str, list[Transcript]] = {name: [] for name in self._by_metric}

    def __call__(self, transcript: Transcript) -> None:
        prescore = self._by_metric.get(transcript.metric)
        if prescore is not None:
            arrived = self._arrived[transcript.metric]
            loop = asyncio.get_running_loop()
            self._running.append(loop.run_in_executor(_threads(), prescore, transcript, tuple(arrived)))
            arrived.append(transcript)

    async def done(self) -> None:
        """Raises what a `prescore` raised: it is a fault of ours."""
        await asyncio.gather(*self._running)


@cache
def _threads() -> ThreadPoolExecutor:
    """Two: more programs at once would only take each other's time, which their limits count."""
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="prescore")

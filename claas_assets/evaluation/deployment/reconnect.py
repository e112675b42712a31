"""Waiting for a deployment that went away in the middle of an evaluation."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from claas_assets.evaluation.errors import DeploymentUnreachable

POLL_S = 2.0


class Patience:
    """Waits until the deployment answers again, `timeout_s` seconds at most; all requests wait together.

    `answers` tells whether it does. `say` hears when the waiting begins and when it ends.
    """

    def __init__(
        self,
        timeout_s: float,
        answers: Callable[[], Awaitable[bool]],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._timeout_s = timeout_s
        self._answers = answers
        self._say = say
        self._one_asks = asyncio.Lock()
        self._returned_at = -1.0  # when it was last seen to answer again

    async def wait(self, error: DeploymentUnreachable, failed_at: float) -> None:
        """Returns once it answers. Raises `error` where it did not in time.

        `failed_at`: `time.monotonic()` when the request was sent that failed; where the deployment has
        been seen since then, there is nothing to wait for.
        """
        if self._timeout_s <= 0:
            raise error
        async with self._one_asks:
            if self._returned_at > failed_at:
                return
            await self._until_it_answers(error)

    async def _until_it_answers(self, error: DeploymentUnreachable) -> None:
        began = time.monotonic()
        self._say(f"{error}; waiting up to {self._timeout_s:.0f} s for it to come back")
        while time.monotonic() - began < self._timeout_s:
            if await self._answers():
                self._returned_at = time.monotonic()
                self._say(f"the deployment answers again after {self._returned_at - began:.0f} s")
                return
            await asyncio.sleep(min(POLL_S, self._timeout_s))
        self._returned_at = -1.0
        raise DeploymentUnreachable(f"{error}, and not within {self._timeout_s:.0f} s (deployment_timeout_s) either")

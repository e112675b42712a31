"""What all parts of a check share: the deployment, the throwaway adapters, the clock."""

import statistics
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from claas_assets.evaluation.check.findings import Report
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.responses import Answer, Score

T = TypeVar("T")
LONG_QUESTION = "Explain in ten sentences how rain is made."
SHORT_QUESTION = "Who are you?"
ANSWER_TOKENS = 64


@dataclass
class Bench:
    """One check under way."""

    client: ClaasClient
    config: EvalConfig
    report: Report
    trained: str = ""
    """The adapter that is trained."""
    bystander: str = ""
    """One that must not change; on a deployment with one sampler there is no asking it."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Kind of call → seconds of each."""
    lengths: list[int] = field(default_factory=list)
    """Completion tokens of answers."""

    async def timed(self, kind: str, call: Awaitable[T]) -> T:
        began = time.monotonic()
        result = await call
        self.seconds.setdefault(kind, []).append(time.monotonic() - began)
        return result

    def took(self, kind: str) -> float | None:
        """Median seconds of such a call; None where none was made."""
        return statistics.median(self.seconds[kind]) if self.seconds.get(kind) else None

    async def chat(
        self, question: str, *, max_tokens: int = ANSWER_TOKENS, temperature: float = 0.0, logprobs: bool = False
    ) -> Answer:
        answer = await self.client.chat(
            (("user", question),),
            lora_id=self.trained,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=self.config.seed if temperature > 0 else None,
            logprobs=logprobs,
        )
        if answer.completion_tokens is not None:
            self.lengths.append(answer.completion_tokens)
        return answer

    async def score(self, question: str, completion: str, lora_id: str = "") -> Score:
        scoring = self.client.score((("user", question),), completion, lora_id=lora_id or self.trained)
        return await self.timed("score", scoring)

"""What every part of the training of one sequence, or of a preference alone, is handed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from claas_assets.evaluation.config import EvalConfig, gateway_token
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.locks import deployment_lock
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.preferences.sequence import PreferenceSequence, Turn
from claas_assets.evaluation.progress import Event, Reporter, Stage
from claas_assets.evaluation.storage.stores import Place

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingContext:
    """One sequence (a preference alone is one of one phase), evaluated on one deployment, in one folder."""

    config: EvalConfig
    sequence: PreferenceSequence
    client: ClaasClient
    folder: Place
    """`<results>/<run id>/<sequence>`."""
    report: Reporter
    """Hears what is going on."""

    @classmethod
    def at(
        cls,
        claas_url: str,
        *,
        config: EvalConfig,
        sequence: PreferenceSequence,
        folder: Place,
        report: Reporter,
        locate: Callable[[], str] | None = None,
    ) -> TrainingContext:
        """The context on the deployment at `claas_url`, which `locate` finds where it moved. Nothing is sent yet."""
        client = ClaasClient(
            routes_for(config, claas_url, gateway_token(config)),
            max_concurrency=config.max_concurrency,
            deployment_timeout_s=config.deployment_timeout_s,
            say=lambda text: report(Event(sequence.name, "note", text)),
            locate=locate,
        )
        return cls(config=config, sequence=sequence, client=client, folder=folder, report=report)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, holding the deployment where it has one sampler; then close the connections."""
        return asyncio.run(self._hold_and_close(work))

    async def _hold_and_close(self, work: Coroutine[Any, Any, T]) -> T:
        routes = self.client.routes
        with deployment_lock(routes.claas_url) if routes.engine.one_sampler else contextlib.nullcontext():
            async with self.client:
                return await work

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Whose each feedback step is, in order."""
        return self.sequence.turns(self.config.num_steps)

    def say(self, stage: Stage, message: str, **details: Any) -> None:
        self.report(Event(preference=self.sequence.name, stage=stage, message=message, **details))

"""Is it another deployment than the one evaluated last? Pure: what was read in, what to do out.

A deployment is known by its fingerprint: name, version, base models and, where it gives one, a deployment id.
Not by what an evaluation changes: the adapters that it makes (vLLM lists those that are loaded among the
models) and the checkpoint that Tinker's sampler is on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.responses import Deployment
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.deployment.transport import RetryBudget, Timeouts
from claas_assets.evaluation.errors import ConfigError, DeploymentUnreachable, RequestRefused
from claas_assets.wire import model_name

_QUICK = RetryBudget(attempts=2, total_s=20.0, wait_initial_s=0.2, wait_max_s=1.0)
_TIMEOUTS = Timeouts(read_s=10.0)
_LOOK_S = 45.0  # Dagster gives a sensor 60


def fingerprint(deployment: Deployment, adapters: Iterable[str], prefix: str) -> str:
    """16 hex digits. `adapters`: the ids that the deployment lists; `prefix`: of those that evaluations make."""
    ours = f"{model_name(prefix)}-"
    loaded = {model_name(lora_id) for lora_id in adapters} | set(adapters)
    bases = sorted({m for m in deployment.models if m not in loaded and not model_name(m).startswith(ours)})
    known_by = {
        "name": deployment.name,
        "version": deployment.version,
        "base_models": bases,
        "deployment_id": deployment.deployment_id,
    }
    return hashlib.sha256(json.dumps(known_by, sort_keys=True).encode("utf-8")).hexdigest()[:16]


class Watch(BaseModel):
    """What a watcher remembers from one look to the next.

    `generation` counts evaluations begun, so that going back to an older deployment is another one.
    `first_seen` (a run id) is when `candidate` was read first: an evaluation keeps its name when it is
    asked for twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluated: str | None = None
    candidate: str | None = None
    first_seen: str | None = None
    generation: int = 0

    @classmethod
    def parse(cls, text: str | None) -> Watch:
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError as error:
            raise ConfigError(f"the sensor's cursor {text!r} is not one of this version: reset it") from error

    def look(self, found: str, now: str) -> tuple[Watch, bool]:
        """After reading `found` at `now` (a run id): what to remember, and whether to evaluate.

        Another deployment must be read twice in a row: while one is rolled out, old and new answer in turn.
        """
        if found == self.evaluated:
            return self.model_copy(update={"candidate": None, "first_seen": None}), False
        if found != self.candidate:
            return self.model_copy(update={"candidate": found, "first_seen": now}), False
        return self.model_copy(update={"evaluated": found, "candidate": None, "generation": self.generation + 1}), True


def read_fingerprint(config: EvalConfig, claas_url: str) -> str:
    """Ask the deployment at `claas_url`. Raises a `DeploymentError` where it does not answer or cannot work."""
    looking = _read(config.model_copy(update={"claas_url": claas_url, "openclaw_url": None}))
    try:
        return asyncio.run(asyncio.wait_for(looking, _LOOK_S))
    except TimeoutError as error:
        raise DeploymentUnreachable(
            f"{claas_url}: no answer within {_LOOK_S:.0f} s; an evaluation may hold all of its request slots"
        ) from error


async def _read(config: EvalConfig) -> str:
    assert config.claas_url is not None
    routes = routes_for(config, config.claas_url, None)
    async with ClaasClient(routes, max_concurrency=config.max_concurrency, retry=_QUICK, timeouts=_TIMEOUTS) as client:
        deployment = await client.describe()
        try:
            adapters = await client.adapters()  # after the models: one that was made in between does no harm
        except RequestRefused as error:
            if error.status not in (404, 405):
                raise
            adapters = []  # no such endpoint: those that evaluations make are known by their prefix
    return fingerprint(deployment, adapters, config.lora_id_prefix)

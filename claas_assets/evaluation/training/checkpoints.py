"""How many updates the weights have that a deployment serves."""

import re
from dataclasses import dataclass

from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.errors import RequestRefused

_COUNT = re.compile(r"step-(\d{1,9})/?", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """A state of an adapter, as its deployment knows it."""

    updates: int | None
    """Gradient updates since init; None where the deployment does not tell."""
    path: str | None = None
    """Of its weights, on Tinker."""


async def served_checkpoint(client: ClaasClient) -> Checkpoint:
    """What Tinker's one sampler serves: its path ends in `step-N`, N being the updates of the adapter.

    Where it serves the base model, nothing is known: a sampler that was restarted does so too. To be read before
    the sampler is refreshed, which changes it.
    """
    try:
        path = (await client.sampler_status()).model_path
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return Checkpoint(None)
    count = None if path is None else _COUNT.fullmatch(path.rstrip("/").rpartition("/")[2])
    return Checkpoint(int(count.group(1)) if count else None, path)

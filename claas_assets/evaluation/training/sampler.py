"""Tinker's one sampler: it serves the latest trained adapter, whoever trained it, and init does not reset it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.errors import RequestRefused, RunFolderError
from claas_assets.evaluation.storage.journal import FeedbackIntent
from claas_assets.evaluation.storage.records import StepRecord, Unmeasured
from claas_assets.evaluation.training.feedback import FeedbackOutcome
from claas_assets.evaluation.training.session import Session


@dataclass(frozen=True)
class Serving:
    """What Tinker's one sampler must serve while this is measured: a checkpoint; None is the base model."""

    model_path: str | None


async def put_sampler_on(client: ClaasClient, model_path: str | None) -> Unmeasured | None:
    """Tinker's one sampler serves the latest trained adapter, whoever trained it: put it on ours.

    Returns why generation cannot be measured, where the deployment has no way to do that.
    """
    if not client.routes.one_sampler:
        return None
    try:
        await client.refresh_sampler(model_path)
        now = await client.sampler_status()
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return Unmeasured(
            kind="unavailable",
            reason="this deployment has no /v1/sampler/refresh, so its sampler may serve another run's weights",
        )
    if now.model_path != model_path:
        return Unmeasured(
            kind="failed", reason=f"the sampler was asked for {model_path!r} and serves {now.model_path!r}"
        )
    return None


async def serves(client: ClaasClient, serving: Serving) -> bool:
    """Whether the sampler serves that, or nothing can tell."""
    try:
        return (await client.sampler_status()).model_path == serving.model_path
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return True


async def resume_sampler(session: Session, steps: Sequence[StepRecord], intent: FeedbackIntent | None) -> None:
    """Put Tinker's sampler on the adapter's latest known weights: a step's that is not yet recorded, too."""
    answers = [call for record in steps for call in record.feedback_calls]
    if intent is not None and intent.step == len(steps):
        answers += intent.answers
    paths = [answer.get("sampler_weights_path") for answer in answers]
    blocked = await put_sampler_on(session.client, next((path for path in reversed(paths) if path), None))
    if blocked is not None and steps:
        raise RunFolderError(f"cannot resume: {blocked.reason}")


_UNKNOWN_WEIGHTS = Unmeasured(
    kind="failed",
    reason="whether the interrupted feedback trained is not known, nor then whose weights the one sampler serves",
)


def of_one_sampler(session: Session, outcome: FeedbackOutcome) -> dict[str, Any]:
    """`blocked` and `serving` of the state after this feedback, where the deployment has one sampler."""
    if not session.client.routes.one_sampler:
        return {}
    if outcome.interrupted:
        return {"blocked": _UNKNOWN_WEIGHTS}
    path = outcome.answers[-1].get("sampler_weights_path") if outcome.answers else None
    return {"serving": Serving(path) if isinstance(path, str) else None}

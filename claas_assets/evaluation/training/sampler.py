"""Tinker's one sampler: it serves the latest trained adapter, whoever trained it, and init does not reset it."""

from collections.abc import Sequence
from dataclasses import dataclass

from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.errors import RequestRefused, RunFolderError
from claas_assets.evaluation.storage.journal import FeedbackIntent
from claas_assets.evaluation.storage.records import StepRecord, Unmeasured
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.feedback import FeedbackOutcome


@dataclass(frozen=True)
class Serving:
    """What the one sampler must serve while a state of the adapter is measured."""

    model_path: str | None
    """A checkpoint; None is the base model."""


Weights = Serving | Unmeasured | None
"""Whose weights answer: the one sampler's, or nobody knows and why, or (None) each adapter answers to its name."""


async def put_sampler_on(client: ClaasClient, model_path: str | None) -> Unmeasured | None:
    """Load that checkpoint; None is the base model. Returns why the answers are not its, where that is so."""
    if not client.routes.engine.one_sampler:
        return None
    try:
        await client.refresh_sampler(model_path)
        served = (await client.sampler_status()).model_path
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return Unmeasured(
            kind="unavailable",
            reason="this deployment has no /v1/sampler/refresh, so its sampler may serve another run's weights",
        )
    if served != model_path:
        return Unmeasured(kind="failed", reason=f"the sampler was asked for {model_path!r} and serves {served!r}")
    return None


async def serves(client: ClaasClient, serving: Serving) -> bool:
    """Whether the sampler still serves what it should. True, too, where the deployment cannot be asked."""
    try:
        return (await client.sampler_status()).model_path == serving.model_path
    except RequestRefused as error:
        if error.status not in (404, 405):
            raise
        return True


async def resume_sampler(context: TrainingContext, steps: Sequence[StepRecord], intent: FeedbackIntent | None) -> None:
    """Put the sampler on the adapter's latest known weights: a step's that is not yet recorded, too."""
    answers = [call for record in steps for call in record.feedback_calls]
    if intent is not None and intent.step == len(steps):
        answers += intent.answers
    paths = [answer.get("sampler_weights_path") for answer in answers]
    blocked = await put_sampler_on(context.client, next((path for path in reversed(paths) if path), None))
    if blocked is not None and steps:
        raise RunFolderError(f"cannot resume: {blocked.reason}")


_UNKNOWN_WEIGHTS = Unmeasured(
    kind="failed",
    reason="whether the interrupted feedback trained is not known, nor then whose weights the one sampler serves",
)


def known_weights(context: TrainingContext, steps: Sequence[StepRecord]) -> Weights:
    """Whose weights answer before the next step trains, by what is recorded."""
    if not context.client.routes.engine.one_sampler:
        return None
    paths = [call.get("sampler_weights_path") for record in steps for call in record.feedback_calls]
    return Serving(next((path for path in reversed(paths) if isinstance(path, str)), None))


def weights_after(context: TrainingContext, outcome: FeedbackOutcome) -> Weights:
    """Whose weights answer after this feedback."""
    if not context.client.routes.engine.one_sampler:
        return None
    if outcome.interrupted:
        return _UNKNOWN_WEIGHTS
    path = outcome.intent.answers[-1].get("sampler_weights_path") if outcome.intent.answers else None
    return Serving(path) if isinstance(path, str) else None

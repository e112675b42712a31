"""Which answers of a batch feedback is given on: all, or (`when_violated`) those that do not obey."""

import asyncio
from collections.abc import Sequence

from claas_assets.evaluation.errors import PreferenceError
from claas_assets.evaluation.metrics.compliance import obedience
from claas_assets.evaluation.preferences.judgements import Judgements, judging_by
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.storage.records import Message, RolloutRecord, Transcript, TranscriptMetadata, Unmeasured
from claas_assets.evaluation.training.judgements import judgements_of_batch


async def reviewed(preference: Preference, batch: list[RolloutRecord]) -> list[RolloutRecord]:
    """The batch, each answer with whether it obeys where the preference's policy asks for it.

    An answer obeys as it does in the verdict: the verifier passes, and it is no loop. Raises `PreferenceError` where
    a verifier cannot tell: whether to correct is then not known.
    """
    if preference.feedback_policy == "always":
        return batch
    transcripts = [_transcript(index, rollout) for index, rollout in enumerate(batch)]
    with judging_by(Judgements.of(await judgements_of_batch(preference, transcripts))):
        obeys = await asyncio.to_thread(lambda: [*map(obedience(preference), transcripts)])
    for rollout, found in zip(batch, obeys, strict=True):
        if isinstance(found, Unmeasured):
            raise PreferenceError(
                f"feedback_policy is when_violated, and whether the answer to {rollout.prompt!r} obeys is not known: "
                f"{found.reason}"
            )
    return [rollout.model_copy(update={"obeys": found == 1.0}) for rollout, found in zip(batch, obeys, strict=True)]


def to_correct(batch: Sequence[RolloutRecord]) -> list[RolloutRecord]:
    """The answers of a reviewed batch that feedback is given on."""
    return [rollout for rollout in batch if not rollout.obeys]


def _transcript(index: int, rollout: RolloutRecord) -> Transcript:
    return Transcript(
        metric="rollout",
        messages=[Message(role="user", content=rollout.prompt), Message(role="assistant", content=rollout.response)],
        metadata=TranscriptMetadata(key=f"rollout/{index}", kind="generate"),
    )

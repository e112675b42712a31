"""What the verifiers of a preference want judged: found by running them, asked once each."""

import asyncio
from collections.abc import Callable, Sequence

from claas_assets.evaluation.errors import JudgeError
from claas_assets.evaluation.judge.client import ChatModel
from claas_assets.evaluation.preferences.judgements import PREFIX, Judged, Judgements, judging_by
from claas_assets.evaluation.storage.records import Message, Transcript, TranscriptMetadata, Unmeasured

_ROUNDS = 10
"""A verifier made of others may look for a judgement only when it has another: more rounds than can be nested."""


async def judgements_for(look: Callable[[], object], judge: ChatModel) -> list[Transcript]:
    """The judgements that `look` wants: it runs verifiers, and is run again until it wants none that is not there.

    A judgement that could not be had is a transcript with the reason. `judge` is open.
    """
    made: list[Transcript] = []
    for _ in range(_ROUNDS):
        wanted = await asyncio.to_thread(_wanted, look, made)
        if not wanted:
            break
        made += await asyncio.gather(*(_judge(judged, judge) for judged in wanted))
    return made


def _wanted(look: Callable[[], object], made: Sequence[Transcript]) -> list[Judged]:
    with judging_by(Judgements.of(made)) as judgements:
        look()
    return list(judgements.wanted.values())


async def _judge(judged: Judged, judge: ChatModel) -> Transcript:
    reply, error = [], None
    try:
        said = await judge.ask(judged.messages, max_tokens=judge.reply_tokens)
        reply = [Message(role="assistant", content=said)]
    except JudgeError as failed:
        error = Unmeasured(kind="failed", reason=str(failed))
    return Transcript(
        metric=PREFIX,
        messages=[*judged.messages, *reply],
        metadata=TranscriptMetadata(
            key=judged.key, kind="judge", temperature=0.0, max_tokens=judge.reply_tokens, model=judge.model, error=error
        ),
    )

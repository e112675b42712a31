"""Ask a snapshot's probes, each once, and record what came back as transcripts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from claas_assets.evaluation.errors import MalformedAnswer, OutcomeUnknown, RequestRefused
from claas_assets.evaluation.metrics.beside import set_of
from claas_assets.evaluation.metrics.probes import Probe
from claas_assets.evaluation.storage.records import Message, Transcript, TranscriptMetadata, Unmeasured
from claas_assets.evaluation.training.concurrency import gather

if TYPE_CHECKING:
    from claas_assets.evaluation.deployment.client import ClaasClient
    from claas_assets.evaluation.deployment.responses import Answer, Score

NOISE_PREFIX = "compliance/noise/"
REPEATS = 10
"""How many answers of a set of noise probes have to be the same text again for its others not to be asked."""
_DIGITS = 5  # of a recorded logprob or entropy: far below what any score resolves

Tick = Callable[[int, int], None]
"""Called with (answered, asked) as answers come in."""


class Asker:
    """Asks the probes of one adapter.

    `blocked`: why nothing can be measured now, if so. `on_answer` sees each transcript as it
    arrives, so that what is slow to score can begin.
    """

    def __init__(
        self,
        client: ClaasClient,
        lora_id: str,
        *,
        seed: int,
        blocked: Unmeasured | None = None,
        on_answer: Callable[[Transcript], None] = lambda transcript: None,
    ) -> None:
        self.client = client
        self.lora_id = lora_id
        self.seed = seed
        self.blocked = blocked
        self.on_answer = on_answer

    async def ask(self, probes: Sequence[Probe], tick: Tick) -> tuple[list[Transcript], int]:
        """Transcripts in the order of `probes`, and the number of requests that were needed.

        Requests are sent in the order of `probes`; of those that ask the very same, only the last
        is sent. The noise probes follow when all others are answered, shuffled, at half the
        concurrency: the same question in other company, which is what tells how far the deployment is
        from deterministic. Where the first `REPEATS` of a set give the very texts again, its others are not
        sent, and have no transcript: a deployment that repeats half of its texts would pass once in 1,024.
        """
        first = [probe for probe in probes if not probe.key.startswith(NOISE_PREFIX)]
        again = [probe for probe in probes if probe.key.startswith(NOISE_PREFIX)]
        shared = _shared_requests(first)
        wanting = {shared[probe.key] for probe in first if probe.logprobs}
        unique = [replace(p, logprobs=p.key in wanting) for p in first if shared[p.key] == p.key]
        total, done = len(unique), 0

        async def one(probe: Probe) -> Transcript:
            nonlocal done
            transcript = await self._one(probe)
            done += 1
            tick(done, total)
            self.on_answer(transcript)
            return transcript

        half = asyncio.Semaphore(max(1, self.client.max_concurrency // 2))

        async def one_of_half(probe: Probe) -> Transcript:
            async with half:
                return await one(probe)

        found = {t.key: t for t in await gather([one(probe) for probe in unique])}
        random.Random(self.seed).shuffle(again)
        once = {_identity(probe): found[probe.key] for probe in unique}
        sample = _first_of_each_set(again)
        total += len(sample)
        found |= {t.key: t for t in await gather([one_of_half(probe) for probe in sample])}
        varying = {set_of(p.key) for p in sample if not _same_text(once.get(_identity(p)), found[p.key])}
        rest = [probe for probe in again if probe.key not in found and set_of(probe.key) in varying]
        total += len(rest)
        found |= {t.key: t for t in await gather([one_of_half(probe) for probe in rest])}
        answers = [(probe, found.get(shared.get(probe.key, probe.key))) for probe in probes]
        return [t if t.key == p.key else _copy_for(p, t) for p, t in answers if t is not None], total

    async def _one(self, probe: Probe) -> Transcript:
        if self.blocked is not None:
            return _unanswered(probe, self.blocked)
        try:
            if probe.kind == "score":
                score = await self.client.score(probe.messages, probe.completion or "", lora_id=self.lora_id)
                return _scored(probe, score)
            answer = await self.client.chat(
                probe.messages,
                lora_id=self.lora_id,
                temperature=probe.temperature,
                max_tokens=probe.max_tokens,
                seed=probe.seed,
                logprobs=probe.logprobs,
            )
            return _answered(probe, answer)
        except (RequestRefused, MalformedAnswer, OutcomeUnknown) as error:
            # A deployment that went away (DeploymentUnreachable) ends the run; one bad answer does not.
            return _unanswered(probe, Unmeasured(kind="failed", reason=str(error)))


def _first_of_each_set(probes: Sequence[Probe]) -> list[Probe]:
    sets: dict[str, list[Probe]] = {}
    for probe in probes:
        sets.setdefault(set_of(probe.key), []).append(probe)
    return [probe for own in sets.values() for probe in own[:REPEATS]]


def _same_text(once: Transcript | None, again: Transcript) -> bool:
    return once is not None and once.answer is not None and once.answer == again.answer


def unique_requests(probes: Sequence[Probe]) -> list[Probe]:
    """The probes that are sent at most: of those that ask the very same, one; the noise probes all."""
    first = [probe for probe in probes if not probe.key.startswith(NOISE_PREFIX)]
    shared = _shared_requests(first)
    return [probe for probe in probes if shared.get(probe.key, probe.key) == probe.key]


def _shared_requests(probes: Sequence[Probe]) -> dict[str, str]:
    """The key of each probe → the key of the one that is sent for it: the last that asks the very same."""
    last = {_identity(probe): probe.key for probe in probes}
    return {probe.key: last[_identity(probe)] for probe in probes}


def _identity(probe: Probe) -> tuple[object, ...]:
    """Equal where one answer serves both: at temperature 0 the seed does not matter, above it it must be the same."""
    sampling = (probe.temperature, probe.seed if probe.seed is not None else probe.key) if probe.temperature > 0 else ()
    return probe.kind, probe.messages, probe.completion, probe.max_tokens, sampling


def _question(probe: Probe) -> list[Message]:
    return [Message(role=role, content=content) for role, content in probe.messages]


def _unanswered(probe: Probe, reason: Unmeasured) -> Transcript:
    return Transcript(
        metric=probe.metric,
        messages=_question(probe),
        metadata=TranscriptMetadata(
            key=probe.key,
            kind=probe.kind,
            temperature=probe.temperature if probe.kind == "generate" else None,
            max_tokens=probe.max_tokens,
            seed=probe.seed,
            error=reason,
        ),
    )


def _answered(probe: Probe, answer: Answer) -> Transcript:
    return Transcript(
        metric=probe.metric,
        messages=[*_question(probe), Message(role="assistant", content=answer.text)],
        metadata=TranscriptMetadata(
            key=probe.key,
            kind="generate",
            temperature=probe.temperature,
            max_tokens=answer.max_tokens,
            seed=probe.seed,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            truncated=answer.truncated,
            logprobs=_rounded(answer.logprobs),
            entropies=_rounded(answer.entropies),
            latency_s=round(answer.latency_s, 3),
            retries=answer.retries,
        ),
    )


def _scored(probe: Probe, score: Score) -> Transcript:
    return Transcript(
        metric=probe.metric,
        messages=[*_question(probe), Message(role="assistant", content=probe.completion or "")],
        metadata=TranscriptMetadata(
            key=probe.key,
            kind="score",
            prompt_tokens=score.prompt_tokens,
            completion_tokens=score.completion_tokens,
            logprobs=_rounded(score.logprobs),
            logprob_sum=round(score.logprob_sum, _DIGITS),
            end_of_turn=score.end_of_turn,
            latency_s=round(score.latency_s, 3),
            retries=score.retries,
        ),
    )


def _copy_for(probe: Probe, original: Transcript) -> Transcript:
    metadata = original.metadata.model_copy(update={"key": probe.key, "asked_as": original.key})
    return original.model_copy(update={"metric": probe.metric, "metadata": metadata})


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, _DIGITS) for value in values]

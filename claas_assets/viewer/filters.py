"""All answers of a preference, over all states: those that fail, were truncated or are degenerate, or one prompt's."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from claas_assets.evaluation.metrics.degenerate import degenerate
from claas_assets.evaluation.storage.records import EvalSnapshot, Transcript
from claas_assets.viewer.answers import ShownTranscript, shown_transcript
from claas_assets.viewer.loading import PreferenceRecords

PER_PAGE = 25

FILTERS = {
    "all": "every answer",
    "fails": "fails its verifier",
    "truncated": "reached the token limit",
    "degenerate": "a loop, empty, or the prompt said back",
}


@dataclass(frozen=True)
class Found:
    """An answer in its state. `steps`: feedback steps before it; `why`: what makes it degenerate."""

    state: str
    steps: int
    shown: ShownTranscript
    why: str | None


@dataclass(frozen=True)
class FoundAnswers:
    """One page of them. `prompt`: the question, where one key was asked for."""

    answers: list[Found]
    total: int
    page: int
    pages: int
    prompt: str | None


def find_answers(records: PreferenceRecords, show: str, key: str | None, page: int) -> FoundAnswers:
    """In the order of the states; a page beyond the last one is the last one."""
    kept = [
        (state, steps, snapshot, transcript)
        for state, steps, snapshot in _states(records)
        for transcript in snapshot.rollouts
        if transcript.metadata.kind == "generate" and (key is None or transcript.key == key)
        if _is(show, snapshot, transcript)
    ]
    pages = max(1, math.ceil(len(kept) / PER_PAGE))
    page = min(page, pages)
    shown = kept[(page - 1) * PER_PAGE : page * PER_PAGE]
    return FoundAnswers(
        answers=[Found(state, steps, shown_transcript(s, t), _why(t)) for state, steps, s, t in shown],
        total=len(kept),
        page=page,
        pages=pages,
        prompt=kept[0][3].question if key is not None and kept else None,
    )


def _states(records: PreferenceRecords) -> Iterator[tuple[str, int, EvalSnapshot]]:
    if records.baseline is not None:
        yield "baseline", 0, records.baseline
    yield from ((str(step.step), step.step + 1, step.eval) for step in records.steps)


def _is(show: str, snapshot: EvalSnapshot, transcript: Transcript) -> bool:
    if show == "fails":
        return shown_transcript(snapshot, transcript).side.passed is False
    if show == "truncated":
        return transcript.metadata.truncated is True
    return show == "all" or _why(transcript) is not None


def _why(transcript: Transcript) -> str | None:
    return None if transcript.answer is None else degenerate(transcript.answer, transcript.question)

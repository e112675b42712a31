"""degenerate: answers that are loops, or nothing, whatever a verifier makes of them.

An answer that says "Kuro, " sixty times names Kuro, and an empty one has no emoji: neither obeys. Every answer
of a snapshot is looked at, those to the preference's own prompts apart from the others, since training can
break the model on the prompts that it was trained on and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import regex

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.tokens import tokenize
from claas_assets.evaluation.metrics.units import Units, no_answer
from claas_assets.evaluation.storage.records import AnswerCounts, DegenerateStats, Transcript

VERSION = 1

ON_PREFERENCE = ("compliance/probe_prompts", "compliance/heldout_prompts")
ELSEWHERE = ("compliance/over_application", "general", "collapse/ocean/greedy", "collapse/neutral")

MAX_REPEATED = 0.5
"""Share of 4-grams that repeat an earlier one, above which an answer is a loop."""

MAX_PERIOD = 20
"""Tokens: the longest unit whose repetition is looked for at the end of an answer."""

MIN_TOKENS = 8
"""Shorter answers are no loops ("yes, yes") unless they say one token and nothing else, `MIN_SAME` times."""

MIN_SAME = 4

MAX_LOOKED_AT = 20_000
"""Characters: a longer answer is judged by its beginning."""

_JOINERS = regex.compile(r"[\u200D\uFE0E\uFE0F\u20E3\U0001F3FB-\U0001F3FF]")
"""What joins or colors emoji: without them, an emoji and its variants are one token."""

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}\p{So}\p{Sk}]")


def degenerate(text: str) -> str | None:
    """Why `text` is no answer in words, or None where it is one.

    Tokens are words, single characters of scripts without spaces, and single emoji. A loop is a text in which
    more than half of the 4-grams repeat an earlier one, or whose second half repeats one period of at most
    20 tokens. Takes time in proportion to the text.
    """
    text = text[:MAX_LOOKED_AT]
    if not text.strip():
        return "empty"
    tokens = tokenize(_JOINERS.sub("", text))
    spoken = [token for token in tokens if _WORD.match(token)] or tokens
    if len(spoken) >= MIN_SAME and len(set(spoken)) == 1:
        return f"a loop: {spoken[0]!r} and nothing else, {len(spoken)} times"
    if len(spoken) < MIN_TOKENS:
        return None
    repeated = _repeated_share(spoken)
    if repeated > MAX_REPEATED:
        return f"a loop: {repeated:.0%} of its 4-grams repeat an earlier one"
    period = _period_of(spoken[len(spoken) // 2 :])
    if period is not None:
        return f"a loop: its second half repeats {' '.join(period)!r}"
    return None


def _repeated_share(tokens: Sequence[str], size: int = 4) -> float:
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return 1 - len(set(grams)) / len(grams)


def _period_of(tail: Sequence[str]) -> Sequence[str] | None:
    """The unit that `tail` repeats from beginning to end, at least twice; None where there is none."""
    for period in range(1, min(MAX_PERIOD, len(tail) // 2) + 1):
        if all(tail[i] == tail[i - period] for i in range(period, len(tail))):
            return tail[:period]
    return None


def degenerate_stats(transcripts: Transcripts) -> DegenerateStats:
    """Each answer of the snapshot as a unit, 1 where it is degenerate, named by its group and its question."""
    return DegenerateStats(
        on_preference=_units(transcripts, ON_PREFERENCE).rate(), elsewhere=_units(transcripts, ELSEWHERE).rate()
    )


def count_answers(transcripts: Transcripts) -> AnswerCounts | None:
    """Answers to the preference's own prompts that were cut or empty; None where those were not asked."""
    asked = [transcript for group in ON_PREFERENCE for transcript in transcripts.below(group)]
    answers = [transcript for transcript in asked if transcript.answer is not None]
    cut = [transcript for transcript in answers if transcript.metadata.truncated]
    if not asked:
        return None
    return AnswerCounts(
        n=len(answers),
        cut=len(cut),
        cut_and_looping=sum(degenerate(transcript.answer or "") is not None for transcript in cut),
        limits=sorted({t.metadata.max_tokens for t in cut if t.metadata.max_tokens is not None}),
        empty=sum(not (transcript.answer or "").strip() for transcript in answers),
    )


def _units(transcripts: Transcripts, groups: Iterable[str]) -> Units:
    units = Units()
    for group in groups:
        for transcript in transcripts.below(group) or _one(transcripts, group):
            if transcript.metadata.kind != "generate" or "/sample/" in transcript.key:
                continue
            unit = f"{group}: {transcript.question}"
            missing = no_answer(transcript)
            if missing is not None:
                units.missing[unit] = missing
                continue
            why = degenerate(transcript.answer or "")
            units.scores[unit] = float(why is not None)
            units.details[unit] = why or ""
    return units


def _one(transcripts: Transcripts, key: str) -> list[Transcript]:
    transcript = transcripts.get(key)
    return [] if transcript is None else [transcript]

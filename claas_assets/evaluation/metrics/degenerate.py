"""degenerate: answers that are loops, nothing, or the prompt said back, whatever a verifier makes of them.

An answer that says "Kuro, " sixty times names Kuro, and an empty one has no emoji: neither obeys. Every answer
of a snapshot is looked at, those to the preference's own prompts apart from the others, since training can
break the model on the prompts that it was trained on and nowhere else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import regex

from claas_assets.evaluation.metrics.base import Transcripts
from claas_assets.evaluation.metrics.units import Units, no_answer
from claas_assets.evaluation.preferences.refusals import refusal
from claas_assets.evaluation.preferences.repetition import MAX_LOOKED_AT, repeats
from claas_assets.evaluation.storage.records import AnswerCounts, DegenerateStats, Transcript

VERSION = 3

ON_PREFERENCE = ("compliance/probe_prompts", "compliance/heldout_prompts")
ELSEWHERE = ("compliance/over_application", "general", "collapse/ocean/greedy", "collapse/neutral")

_repeats = lru_cache(maxsize=1024)(repeats)
"""An answer is looked at with its verifier's result, as a unit and, where it was cut, once more."""

_INVISIBLE = regex.compile(r"[\s\p{C}\p{Z}]*")
_WORDS_AND_SIGNS = regex.compile(r"[^\p{L}\p{M}\p{N}\p{S}]+")


def degenerate(text: str, prompt: str | None = None) -> str | None:
    """Why `text` is no answer, or None where it is one: nothing that can be seen, the prompt said back, or a loop.

    `repetition.repeats` says what a loop is. Case, spaces and punctuation make no answer of a prompt.
    """
    if _INVISIBLE.fullmatch(text[:MAX_LOOKED_AT]):
        return "empty"
    if prompt is not None and _folded(text) == _folded(prompt):
        return "the prompt said back"
    loop = _repeats(text)
    return None if loop is None else f"a loop: it {loop}"


def _folded(text: str) -> str:
    return _WORDS_AND_SIGNS.sub("", text[:MAX_LOOKED_AT].casefold())


def degenerate_stats(transcripts: Transcripts, families: Mapping[str, str]) -> DegenerateStats:
    """Each answer of the snapshot as a unit, 1 where it is degenerate, named by its group and its question.

    `families`: prompt → the first of its paraphrases, which count as one unit.
    """
    on_preference, elsewhere = (_units(transcripts, groups, families) for groups in (ON_PREFERENCE, ELSEWHERE))
    return DegenerateStats(on_preference=on_preference.rate(), elsewhere=elsewhere.rate())


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
        cut_and_looping=sum(_repeats(transcript.answer or "") is not None for transcript in cut),
        limits=sorted({t.metadata.max_tokens for t in cut if t.metadata.max_tokens is not None}),
        empty=sum(degenerate(transcript.answer or "") == "empty" for transcript in answers),
        refused=sum(refusal((transcript.answer or "")[:MAX_LOOKED_AT]) is not None for transcript in answers),
        alike=_most_frequent([_folded(transcript.answer or "") for transcript in answers]),
    )


def _most_frequent(texts: Sequence[str]) -> int:
    count = max(Counter(texts).values(), default=0)
    return count if count > 1 else 0


def _units(transcripts: Transcripts, groups: Iterable[str], families: Mapping[str, str]) -> Units:
    units = Units()
    for group in groups:
        asked: Sequence[Transcript | None] = transcripts.below(group) or [transcripts.get(group)]
        for transcript in asked:
            if transcript is None or transcript.metadata.kind != "generate" or "/sample/" in transcript.key:
                continue
            unit = f"{group}: {transcript.question}"
            if transcript.question in families:
                units.families[unit] = f"{group}: {families[transcript.question]}"
            missing = no_answer(transcript)
            if missing is not None:
                units.missing[unit] = missing
                continue
            why = degenerate(transcript.answer or "", transcript.question)
            units.scores[unit] = float(why is not None)
            units.details[unit] = why or ""
    return units

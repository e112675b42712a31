"""Transcripts beside what the metrics said of them: by key, from the numbers that the files hold."""

from dataclasses import dataclass, replace
from itertools import groupby

from claas_assets.evaluation.storage.records import EvalSnapshot, StepRecord, Transcript, UnitStats
from claas_assets.viewer.text import Cut, cut

GROUPS = {
    "compliance/heldout_prompts": "Held-out prompts (never trained on)",
    "compliance/probe_prompts": "Trained prompts",
    "compliance/over_application": "Prompts to which the preference does not apply",
    "compliance/ceiling": "Ceiling: held-out prompts with the feedback in the prompt",
    "compliance/noise": "Noise floor: held-out prompts asked again",
    "general/seed": "Capability: the four probes of every step",
    "general/items": "Capability: the items of a full snapshot",
    "collapse/ocean": "Collapse: the ocean prompt",
    "collapse/neutral": "Collapse: neutral prompts",
    "collapse/fixed_text": "Collapse: fixed texts, scored",
    "logprob": "Preferred and dispreferred answers, scored",
}
"""In the order in which a reader wants them."""


@dataclass(frozen=True)
class Side:
    """An answer and what the verifier said. `answer` is None where there is none; then `missing` says why."""

    answer: str | None
    missing: str | None = None
    passed: bool | None = None
    score: float | None = None
    detail: str | None = None
    truncated: bool = False
    tokens: int | None = None
    """Of the completion, as the deployment counted them."""
    seconds: float | None = None
    """From request to answer."""

    @property
    def shown(self) -> Cut:
        return cut(self.answer or "")


@dataclass(frozen=True)
class ShownTranscript:
    """A transcript for display."""

    key: str
    kind: str
    question: str
    side: Side
    logprob_sum: float | None


def side_of(snapshot: EvalSnapshot, transcript: Transcript) -> Side:
    units, unit = _units_of(snapshot, transcript)
    meta = transcript.metadata
    missing = f"{meta.error.kind}: {meta.error.reason}" if meta.error else None
    if units is not None and unit in units.missing:
        missing = units.missing[unit]
    return Side(
        answer=transcript.answer,
        missing=missing,
        passed=units.passed.get(unit) if units else None,
        score=units.scores.get(unit) if units else None,
        detail=units.details.get(unit) if units else None,
        truncated=bool(meta.truncated),
        tokens=meta.completion_tokens,
        seconds=meta.latency_s,
    )


_BESIDE = "@"


def beside_key(key: str, preference: str) -> str:
    """The key, on pages of a sequence, of what was asked of one of its preferences."""
    return f"{key}{_BESIDE}{preference}"


def groups_of(snapshot: EvalSnapshot) -> list[tuple[str, list[ShownTranscript]]]:
    """(title, transcripts) of a snapshot, in the order of `GROUPS`; what has no group there comes last. Then those
    of the other preferences of a sequence."""
    beside = [
        (f"{name}: {title}", [replace(shown, key=beside_key(shown.key, name)) for shown in group])
        for name, own in snapshot.beside.items()
        for title, group in _own_groups(own)
    ]
    return [*_own_groups(snapshot), *beside]


def _own_groups(snapshot: EvalSnapshot) -> list[tuple[str, list[ShownTranscript]]]:
    order = list(GROUPS)

    def place(transcript: Transcript) -> int:
        return next((i for i, group in enumerate(order) if transcript.key.startswith(f"{group}/")), len(order))

    in_order = sorted(snapshot.rollouts, key=place)  # stable: as asked within a group
    return [
        (
            GROUPS[order[at]] if at < len(order) else "Other",
            [shown_transcript(snapshot, transcript) for transcript in group],
        )
        for at, group in groupby(in_order, key=place)
    ]


def whole_answer(snapshot: EvalSnapshot, step: StepRecord | None, key: str) -> str | None:
    """The uncut text behind a key: a transcript's answer, or `batch/<index>` of a step; None where there is none."""
    key, _, preference = key.partition(_BESIDE)
    snapshot = snapshot.of(preference) if preference else snapshot
    group, _, index = key.partition("/")
    if step is not None and group == "batch":
        return next((r.response for i, r in enumerate(step.rollout_batch) if str(i) == index), None)
    return next((t.answer for t in snapshot.rollouts if t.key == key), None)


def shown_transcript(snapshot: EvalSnapshot, transcript: Transcript) -> ShownTranscript:
    meta = transcript.metadata
    return ShownTranscript(
        key=transcript.key,
        kind=meta.kind,
        question=transcript.question,
        side=side_of(snapshot, transcript),
        logprob_sum=meta.logprob_sum,
    )


def _units_of(snapshot: EvalSnapshot, transcript: Transcript) -> tuple[UnitStats | None, str]:
    """Where the score of this transcript stands: its units, and its name among them."""
    metric, *rest = transcript.key.split("/")
    stats = snapshot.stats
    if metric == "compliance" and rest:
        return snapshot.compliance_set(rest[0]), transcript.question
    if metric == "general" and stats.general is not None and len(rest) == 2:
        return (stats.general.items if rest[0] == "items" else stats.general.public_probes), rest[1]
    return None, ""


def transcripts_below(snapshot: EvalSnapshot | None, group: str) -> list[Transcript]:
    rollouts = snapshot.rollouts if snapshot is not None else []
    return [transcript for transcript in rollouts if transcript.key.startswith(f"{group}/")]

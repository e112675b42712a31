"""Unit statistics: what the metrics share between a transcript and a mean."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from claas_assets.evaluation.metrics.statistics import student_t, wilson
from claas_assets.evaluation.storage.records import EvalSnapshot, Interval, Transcript, UnitStats, Unmeasured, fold

Measured = float | Unmeasured
"""A number, or why there is none."""

MAX_MISSING_SHARE = 0.2
"""Where more of a set's units than this have no score, the others do not speak for the set: it has no mean."""

BASELINE_ITSELF = Unmeasured(kind="unavailable", reason="this is the baseline, which has nothing to be compared with")


@dataclass
class Units:
    """Collects one score a unit, and the reasons of those without one."""

    scores: dict[str, float] = field(default_factory=dict)
    passed: dict[str, bool] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    missing: dict[str, Unmeasured] = field(default_factory=dict)
    obeyed: dict[str, bool] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    truncated: int = 0

    def __bool__(self) -> bool:
        """Whether anything was asked."""
        return bool(self.scores or self.missing)

    def add(self, unit: str, found: Measured) -> None:
        if isinstance(found, Unmeasured):
            self.missing[unit] = found
        else:
            self.scores[unit] = found

    def mean(self) -> float | None:
        """None where there is none, or too little of what was asked: `why_none` says which."""
        return mean(self._folded().values()) if self.why_none() is None else None

    def measured(self) -> Measured:
        """The mean, or why there is none."""
        return self.why_none() or fmean(self._folded().values())

    def rate(self) -> UnitStats:
        """Scores in [0, 1]: the mean with Wilson's interval."""
        folded = self._folded()
        return self._stats(wilson(sum(folded.values()), len(folded)))

    def amount(self) -> UnitStats:
        """Scores in nats or another unbounded unit: the mean with a t interval."""
        return self._stats(student_t(list(self._folded().values())))

    def why_none(self) -> Unmeasured | None:
        """Why there is no mean, or None where there is one."""
        return scarce(len(self.scores), self.missing) if self.scores else all_missing(self.missing)

    def _folded(self) -> dict[str, float]:
        return fold(self.scores, self.families)

    def _stats(self, interval: Interval | None) -> UnitStats:
        told = self.why_none() is None
        return UnitStats(
            n=len(self._folded()),
            mean=self.mean(),
            interval=interval if told else None,
            scores=self.scores,
            passed=self.passed,
            details=self.details,
            missing={unit: reason.reason for unit, reason in self.missing.items()},
            pass_rate=mean(self.passed.values()) if told else None,
            truncated=self.truncated,
            obeyed=self.obeyed,
            families=self.families,
        )


def obedience(units: UnitStats | None) -> UnitStats | None:
    """The same units, scored 1 where the answer obeyed: its mean is what decides, with Wilson's interval.

    None where no answer was judged, and in files of version 0.1.0, which do not say what obeyed.
    """
    if units is None or not units.obeyed:
        return None
    scores = {unit: float(obeyed) for unit, obeyed in units.obeyed.items()}
    folded, told = fold(scores, units.families), units.mean is not None
    return units.model_copy(
        update={
            "scores": scores,
            "n": len(folded),
            "mean": fmean(folded.values()) if told else None,
            "interval": wilson(sum(folded.values()), len(folded)) if told else None,
        }
    )


def obeyed_in(snapshot: EvalSnapshot, name: str) -> UnitStats | None:
    """`obedience` of the prompts of one set (`probe_prompts`, `heldout_prompts`, `ceiling`) in one state."""
    return obedience(snapshot.compliance_set(name))


def mean(values: Iterable[float]) -> float | None:
    """None where there is nothing to average."""
    found = list(values)
    return fmean(found) if found else None


def scarce(measured: int, missing: Mapping[str, Unmeasured]) -> Unmeasured | None:
    """Why the units that were measured do not speak for all that were asked, or None where they do."""
    asked = measured + len(missing)
    if len(missing) <= MAX_MISSING_SHARE * asked:
        return None
    first = all_missing(missing)
    reason = f"only {measured} of {asked} units were measured; of the others: {first.reason}"
    return Unmeasured(kind=first.kind, reason=reason)


def all_missing(missing: Mapping[str, Unmeasured]) -> Unmeasured:
    """One reason for a number that has no unit at all. It `failed` unless every unit was unavailable."""
    if not missing:
        return Unmeasured(kind="failed", reason="no transcript of it was recorded")
    reasons = list(missing.values())
    kind = "unavailable" if all(reason.kind == "unavailable" for reason in reasons) else "failed"
    first = next(reason for reason in reasons if reason.kind == kind)
    more = f" (none of {len(reasons)} units was measured)" if len(reasons) > 1 else ""
    return Unmeasured(kind=kind, reason=f"{first.reason}{more}")


def no_answer(transcript: Transcript | None) -> Unmeasured | None:
    """Why this transcript cannot be scored, or None where it can."""
    if transcript is None:
        return Unmeasured(kind="failed", reason="no transcript of it was recorded")
    if transcript.metadata.error is not None:
        return transcript.metadata.error
    if transcript.answer is None:
        return Unmeasured(kind="failed", reason="the transcript has no answer and does not say why")
    return None


def changes(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """now − before, of the units measured in both."""
    return {unit: score - before[unit] for unit, score in now.items() if unit in before}


def against(now: Measured, before: Measured | None, compare: Callable[[float, float], Measured]) -> Measured:
    """`compare(now, before)` where both are measured. `before` is None for the baseline itself."""
    if before is None:
        return BASELINE_ITSELF
    if isinstance(now, Unmeasured):
        return now
    return not_in_baseline(before) if isinstance(before, Unmeasured) else compare(now, before)


def pairs_of(now: Units, before: Units | None) -> list[tuple[float, float]] | Unmeasured:
    """(now, before) of the units measured in both. `before` is None for the baseline itself."""
    if before is None:
        return BASELINE_ITSELF
    if (reason := now.why_none()) is not None:
        return reason
    if (reason := before.why_none()) is not None:
        return not_in_baseline(reason)
    found = [(score, before.scores[unit]) for unit, score in now.scores.items() if unit in before.scores]
    missing = {**now.missing, **before.missing}
    missing |= {unit: not_in_baseline(all_missing({})) for unit in now.scores if unit not in before.scores}
    return scarce(len(found), missing) or found


def not_in_baseline(reason: Unmeasured) -> Unmeasured:
    return Unmeasured(kind=reason.kind, reason=f"the baseline has none: {reason.reason}")


def index_of(transcript: Transcript) -> str:
    """The last part of the key: which prompt of its group."""
    return transcript.key.rsplit("/", 1)[-1]


def groups(transcripts: Iterable[Transcript], name_of: Callable[[Transcript], str]) -> dict[str, list[Transcript]]:
    """By name, in the order asked."""
    found: dict[str, list[Transcript]] = {}
    for transcript in transcripts:
        found.setdefault(name_of(transcript), []).append(transcript)
    return found

"""compliance: does the model do what the user asked, and only where the user asked it?

Every answer is verified by program. `preference_compliance` is the mean score on `probe_prompts`, which are trained
on; the verdict stands on `heldout_prompts`, which never are.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from claas_assets.evaluation.metrics.base import MetricScore, Transcripts, metric
from claas_assets.evaluation.metrics.degenerate import degenerate
from claas_assets.evaluation.metrics.probes import QUICK_OVER_APPLICATION, Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.statistics import cohens_kappa, measure_noise
from claas_assets.evaluation.metrics.units import Measured, Units, all_missing, index_of, no_answer, scarce
from claas_assets.evaluation.preferences.judgements import PREFIX, NotJudged
from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.verifiers import Verifier, VerifierResult, build_verifier, verify
from claas_assets.evaluation.storage.records import ComplianceStats, JudgeAgreement, NoiseFloor, Transcript, Unmeasured

TRAINED, HELD_OUT, OVER_APPLICATION, CEILING = "probe_prompts", "heldout_prompts", "over_application", "ceiling"
SETS = (TRAINED, HELD_OUT, OVER_APPLICATION, CEILING)
NOISE = "noise"


@metric
class ComplianceMetric:
    """Keys: `compliance/<set>/<index>`, the sets being those of `SETS` and `noise`.

    Light: `probe_prompts`. Full: held-out and over-application prompts too. The baseline, which is
    full, also asks `ceiling` (the held-out prompts with the feedback in the user turn: could the
    untrained model obey at all?) and `noise` (the held-out prompts, or where there are none the
    trained ones, a second time: how far do two askings differ?).
    """

    name = "compliance"
    version = 5

    def probes(self, plan: ProbePlan) -> list[Probe]:
        preference = plan.preference
        asked = {TRAINED: preference.probe_prompts}
        if plan.size == "full":
            asked[HELD_OUT] = preference.heldout_prompts
            items = preference.over_application[: QUICK_OVER_APPLICATION if plan.snapshot_size == "quick" else None]
            asked[OVER_APPLICATION] = tuple(item.prompt for item in items)
        if plan.size == "full" and plan.step < 0:
            deciding = preference.heldout_prompts or preference.probe_prompts
            asked[CEILING] = tuple(with_feedback(prompt, preference) for prompt in deciding)
            asked[NOISE] = deciding
        return [
            plan.ask(f"{self.name}/{group}/{index}", prompt)
            for group, prompts in asked.items()
            for index, prompt in enumerate(prompts)
        ]

    def score(self, transcripts: Transcripts, context: ScoringContext) -> MetricScore:
        calibrates = context.baseline is None and context.preference.asks_a_judge  # recorded once, with the baseline
        judges = _judges(context.preference)
        groups, families = {group: _asked(transcripts, group) for group in SETS}, context.preference.families
        sets = {group: _verify(asked, judges[group], families) for group, asked in groups.items() if asked}
        noise = _noise(transcripts, judges[TRAINED])
        unmeasured = {
            f"compliance.{group}": reason for group, units in sets.items() if (reason := units.why_none()) is not None
        }
        if isinstance(noise, Unmeasured):
            unmeasured["compliance.noise"] = noise
        trained = sets.get(TRAINED, Units())
        if (reason := trained.why_none()) is not None:
            unmeasured["preference_compliance"] = reason
        stats = ComplianceStats(
            sets={group: units.rate() for group, units in sets.items()},
            noise=noise if isinstance(noise, NoiseFloor) else None,
            judge=agreement_of_judge(context.preference, transcripts.below(PREFIX)) if calibrates else None,
        )
        return MetricScore(fields={"preference_compliance": trained.rate().mean}, stats=stats, unmeasured=unmeasured)


def agreement_of_judge(preference: Preference, judgements: Sequence[Transcript]) -> JudgeAgreement:
    """The preference's verifier against a person, on the labeled answers."""
    verifier = preference.build_verifier()
    said: list[bool] = []
    labels: list[bool] = []
    missing: dict[str, str] = {}
    for labeled in preference.calibration:
        found = _verified(verifier, labeled.answer, labeled.prompt)
        if isinstance(found, Unmeasured):
            missing[labeled.answer] = found.reason
            continue
        said.append(found.passed)
        labels.append(labeled.obeys)
    return JudgeAgreement(
        n=len(said),
        agreement=fmean(float(a == b) for a, b in zip(said, labels, strict=True)) if said else None,
        kappa=cohens_kappa(said, labels),
        missing=missing,
        models=sorted({t.metadata.model for t in judgements if t.metadata.model}),
    )


def with_feedback(prompt: str, preference: Preference) -> str:
    """The user turn of a ceiling probe: the prompt, then the feedback, as the teacher sees it in training."""
    return f"{prompt}\n\nFeedback: {preference.feedback_string}"


def obedience(preference: Preference) -> Callable[[Transcript | None], Measured]:
    """How an answer that should obey is judged: 1 where it does, else 0, or why that is not known."""
    judge = _judges(preference)[TRAINED]
    return lambda transcript: _obeyed(transcript, judge)


_Judge = Callable[[Transcript], VerifierResult | Unmeasured]


def _judges(preference: Preference) -> dict[str, _Judge]:
    """How each set is verified, by today's preference file."""
    verifier = preference.build_verifier()
    checks = {item.prompt: item.check for item in preference.over_application}

    def obeys(transcript: Transcript) -> VerifierResult | Unmeasured:
        return _run(verifier, transcript)

    def not_over_applied(transcript: Transcript) -> VerifierResult | Unmeasured:
        check = checks.get(transcript.question)
        if check is None:
            reason = f"preference {preference.name} has no over_application check for this prompt any more"
            return Unmeasured(kind="failed", reason=reason)
        return _run(build_verifier(check), transcript)

    return {TRAINED: obeys, HELD_OUT: obeys, CEILING: obeys, OVER_APPLICATION: not_over_applied}


def _run(verifier: Verifier, transcript: Transcript) -> VerifierResult | Unmeasured:
    return _verified(verifier, transcript.answer or "", transcript.question)


def _verified(verifier: Verifier, answer: str, prompt: str) -> VerifierResult | Unmeasured:
    """A verifier may be the user's own: what it raises is recorded with the answer, not lost with the run."""
    name = type(verifier).__name__
    try:
        passed, score, detail = verify(verifier, answer, prompt)
    except NotJudged as error:
        return Unmeasured(kind="failed", reason=str(error))
    except Exception as error:  # a user's class may raise anything; it becomes the reason of a missing score
        return Unmeasured(kind="failed", reason=f"{name} raised {type(error).__name__}: {error}")
    if not 0 <= score <= 1:
        return Unmeasured(kind="failed", reason=f"{name} gave the score {score}, which is not between 0 and 1")
    return VerifierResult(bool(passed), float(score), str(detail))


def _asked(transcripts: Transcripts, group: str) -> list[Transcript]:
    return transcripts.below(f"{ComplianceMetric.name}/{group}")


def _verify(asked: list[Transcript], judge: _Judge, families: Mapping[str, str]) -> Units:
    """One unit a prompt, named by its text: a prompt keeps its name when the file is reordered.

    Of declared paraphrases (`families`) the mean counts once.
    """
    units = Units(families={t.question: families[t.question] for t in asked if t.question in families})
    for transcript in asked:
        unit = transcript.question
        found = no_answer(transcript) or judge(transcript)
        if isinstance(found, Unmeasured):
            units.missing[unit] = found
            continue
        units.passed[unit], units.scores[unit], units.details[unit] = found
        units.obeyed[unit] = found.passed and degenerate(transcript.answer or "", transcript.question) is None
        units.truncated += bool(transcript.metadata.truncated)
    return units


def _noise(transcripts: Transcripts, judge: _Judge) -> NoiseFloor | Unmeasured | None:
    """The second asking against the first, over the prompts answered both times. None where not asked."""
    second = {index_of(transcript): transcript for transcript in _asked(transcripts, NOISE)}
    if not second:
        return None
    first = {index_of(t): t for t in _asked(transcripts, HELD_OUT) or _asked(transcripts, TRAINED)}
    before: list[float] = []
    after: list[float] = []
    missing: dict[str, Unmeasured] = {}
    same = True
    for index, again in second.items():
        once = first.get(index)
        both = _obeyed(once, judge), _obeyed(again, judge)
        if isinstance(both[0], Unmeasured) or isinstance(both[1], Unmeasured):
            missing[index] = next(part for part in both if isinstance(part, Unmeasured))
            continue
        before.append(both[0])
        after.append(both[1])
        same = same and once is not None and once.answer == again.answer
    few = scarce(len(before), missing) if before else all_missing(missing)
    return few or measure_noise(before, after, same_texts=same)


def _obeyed(transcript: Transcript | None, judge: _Judge) -> Measured:
    """1 where the answer obeys, else 0."""
    missing = no_answer(transcript)
    if missing is not None or transcript is None:
        return missing or all_missing({})
    verdict = judge(transcript)
    if isinstance(verdict, Unmeasured):
        return verdict
    return float(verdict.passed and degenerate(transcript.answer or "", transcript.question) is None)

"""general: is the model still able to do what it was not trained on?

Light: the four probes of the public harness (one program, three instructions). They decide nothing: with
answers that flip 8 % of the time an unchanged model fails one time in ten. Full: items of our own beside
them (`capability.py`; 150, or 48 where the snapshot is `quick`), which are paired with the baseline's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from claas_assets.evaluation.metrics.base import MetricScore, Transcripts, metric
from claas_assets.evaluation.metrics.capability import Item, Judgment, capability_items, judge, load_capability
from claas_assets.evaluation.metrics.probes import Probe, ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.units import MAX_MISSING_SHARE, Units, all_missing, mean, no_answer
from claas_assets.evaluation.storage.records import GeneralScores, GeneralStats, Transcript, Unmeasured

PUBLIC, ITEMS = "general/seed", "general/items"
"""Groups of transcript keys. The public harness's probes have had the key `seed` since the first run folders."""
CODING = "fibonacci"
FIELDS = ("coding_correct", "coding_has_docstring", "ifeval_pass_rate", "general_score")

_Judged = dict[str, Judgment | Unmeasured]


@metric
class GeneralMetric:
    """Keys: `general/seed/<id>` always, `general/items/<id>` in full snapshots; ids as in `capability.yaml`.

    `general_score = 0.5·coding_correct + 0.5·ifeval_pass_rate`, where `ifeval_pass_rate` is the share of
    the public harness's three instructions that are strictly followed. The items' scores are 0 or 1.
    """

    name = "general"
    version = 4

    @property
    def prompt_sets(self) -> dict[str, int]:
        """Versions of what is asked."""
        return {"capability_items": load_capability().version}

    def probes(self, plan: ProbePlan) -> list[Probe]:
        known = load_capability()
        items = capability_items(plan.snapshot_size) if plan.size == "full" else ()
        asked = {PUBLIC: known.public_probes, ITEMS: items}
        return [
            plan.ask(f"{group}/{item.id}", item.prompt, max_tokens=item.budget(plan.max_tokens))
            for group, items in asked.items()
            for item in items
        ]

    def prescore(self, transcript: Transcript, earlier: Sequence[Transcript]) -> None:
        """Run the program of an answer as it arrives: the score then finds it run (`capability._run`)."""
        group, _, name = transcript.key.rpartition("/")
        known = load_capability()
        items = {PUBLIC: known.public_probes, ITEMS: known.items}.get(group, ())
        for item in items:
            if item.id == name and item.kind == "code":
                _judge(item, transcript)

    def score(self, transcripts: Transcripts, context: ScoringContext) -> MetricScore:
        if not transcripts.below(PUBLIC) and not transcripts.below(ITEMS):
            return MetricScore()  # it was not asked
        known = load_capability()
        public = _judge_all(known.public_probes, transcripts, PUBLIC)
        # What is asked is recorded: a quick snapshot, or an older one, asked fewer items than there are.
        asked = [item for item in known.items if transcripts.get(f"{ITEMS}/{item.id}") is not None]
        items = _judge_all(asked, transcripts, ITEMS)
        scores, unmeasured = _scores(public)
        loose, strict = _units(items, transcripts, ITEMS), _units(items, transcripts, ITEMS, strict=True)
        if items and (reason := loose.why_none()) is not None:
            unmeasured["general.items"] = reason
        stats = GeneralStats(
            public_probes=_units(public, transcripts, PUBLIC, strict=True).rate(),
            items=loose.rate() if items else None,
            items_strict=strict.rate() if items else None,
            by_kind=_by_kind(asked, loose.scores),
            sandbox=_sandbox([*public.values(), *items.values()]),
            items_version=known.version,
        )
        return MetricScore(fields={"general": scores}, stats=stats, unmeasured=unmeasured)


def _judge_all(items: Iterable[Item], transcripts: Transcripts, group: str) -> _Judged:
    return {item.id: _judge(item, transcripts.get(f"{group}/{item.id}")) for item in items}


def _judge(item: Item, transcript: Transcript | None) -> Judgment | Unmeasured:
    reason = no_answer(transcript)
    if reason is not None or transcript is None or transcript.answer is None:
        return reason or Unmeasured(kind="failed", reason="there is no answer")
    if transcript.question != item.prompt:
        return Unmeasured(kind="failed", reason=f"item {item.id} has another prompt in this version of the package")
    return judge(item, transcript.answer)


def _units(judged: _Judged, transcripts: Transcripts, group: str, *, strict: bool = False) -> Units:
    units = Units()
    for unit, judgment in judged.items():
        if isinstance(judgment, Unmeasured):
            units.missing[unit] = judgment
            continue
        units.passed[unit] = judgment.strict if strict else judgment.loose
        units.scores[unit] = float(units.passed[unit])
        units.details[unit] = judgment.detail
        transcript = transcripts.get(f"{group}/{unit}")
        units.truncated += bool(transcript and transcript.metadata.truncated)
    return units


def _scores(public: _Judged) -> tuple[GeneralScores, dict[str, Unmeasured]]:
    """The public harness's fields: None, with its reason, where an answer that it needs is missing."""
    coding = public[CODING]
    instructions = {unit: judgment for unit, judgment in public.items() if unit != CODING}
    followed = [judgment.strict for judgment in instructions.values() if isinstance(judgment, Judgment)]
    missing = {unit: reason for unit, reason in instructions.items() if isinstance(reason, Unmeasured)}
    correct = docstring = rate = None
    no_coding = coding if isinstance(coding, Unmeasured) else None
    no_rate = all_missing(missing) if missing else None
    if isinstance(coding, Judgment):
        correct = coding.strict
        docstring = coding.run is not None and coding.run.has_docstring
    if no_rate is None:
        rate = mean(map(float, followed))
    score = None if correct is None or rate is None else 0.5 * correct + 0.5 * rate
    scores = GeneralScores(
        coding_correct=correct, coding_has_docstring=docstring, ifeval_pass_rate=rate, general_score=score
    )
    reasons = dict(zip(FIELDS, (no_coding, no_coding, no_rate, no_coding or no_rate), strict=True))
    return scores, {f"general.{name}": reason for name, reason in reasons.items() if reason is not None}


def _by_kind(items: Iterable[Item], scores: Mapping[str, float]) -> dict[str, float | None]:
    """Mean score of each kind; None where too few of its items were answered."""
    kinds: dict[str, list[float | None]] = {}
    for item in items:
        kinds.setdefault(item.kind, []).append(scores.get(item.id))
    return {kind: _mean_of_most(of_kind) for kind, of_kind in kinds.items()}


def _mean_of_most(scores: Sequence[float | None]) -> float | None:
    answered = [score for score in scores if score is not None]
    return mean(answered) if len(scores) - len(answered) <= MAX_MISSING_SHARE * len(scores) else None


def _sandbox(judged: Iterable[Judgment | Unmeasured]) -> dict[str, Any]:
    """How model-written code was closed in, and how many programs ended which way."""
    runs = [judgment.run for judgment in judged if isinstance(judgment, Judgment) and judgment.run is not None]
    if not runs:
        return {}
    isolation = next((run.isolation for run in runs if run.isolation is not None), None)
    return {
        **(asdict(isolation) | {"missing": list(isolation.missing)} if isolation else {}),
        "programs": len(runs),
        "ended": dict(Counter(run.status for run in runs)),
    }

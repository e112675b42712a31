"""Units, means and intervals of each metric: what makes a decision possible."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from pydantic import Field

from claas_assets.evaluation.storage.records.base import Interval, Record, _in_file


def fold(scores: Mapping[str, float], families: Mapping[str, str]) -> dict[str, float]:
    """One score a family of paraphrases, the mean of theirs, and each other unit as it is."""
    if not families:
        return dict(scores)
    found: dict[str, list[float]] = {}
    for unit, score in scores.items():
        found.setdefault(families.get(unit, unit), []).append(score)
    return {unit: fmean(of_family) for unit, of_family in found.items()}


class UnitStats(Record):
    """A score per unit (a prompt, an item, a pair), kept so that a change can be paired per unit."""

    n: int
    """Units in the mean; a family of paraphrases is one."""
    mean: float | None
    """In the unit of the metric; null where no unit has a score."""
    interval: Interval | None = None
    """Of the mean."""
    scores: dict[str, float] = Field(default_factory=dict)
    """Unit → score, in the unit of the metric."""
    passed: dict[str, bool] = Field(default_factory=dict)
    """Unit → whether it passes, where the metric says so."""
    details: dict[str, str] = Field(default_factory=dict)
    """Unit → the verifier's reason."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Unit → why it has no score. These units are in no mean."""
    pass_rate: float | None = None
    """Share of `passed`, in [0, 1]."""
    truncated: int = 0
    """Answers that reached their token budget."""
    obeyed: dict[str, bool] = Field(default_factory=dict)
    """By unit, of compliance sets: the verifier passes, and the answer is neither degenerate nor empty."""
    families: dict[str, str] = Field(default_factory=dict)
    """Unit → the first unit of its family. Paraphrases of one prompt are one unit: their mean counts once."""

    @property
    def obeyed_rate(self) -> float | None:
        """Share of the units that obeyed, in [0, 1]; None where none was judged, or too few of them."""
        if self.mean is None or not self.obeyed:
            return None
        return fmean(fold({unit: float(obeyed) for unit, obeyed in self.obeyed.items()}, self.families).values())


class LogprobStats(Record):
    """The logprob margin, pair by pair."""

    margins: UnitStats
    """Nats per pair."""
    per_token: UnitStats
    """Nats per token per pair, which answers of different length do not bias."""
    delta: UnitStats | None = None
    """Nats per pair against the baseline's; null in the baseline itself."""


class NoiseFloor(Record):
    """How much obedience differs when the untouched model is asked the same prompts twice."""

    n: int
    """Prompts asked twice."""
    flip_rate: float
    """Share of them that passed once only, in [0, 1]."""
    sigma2: float
    """Variance of one answer's score: mean of (x1 - x2)² / 2."""
    mean_difference: float
    """Of the two means."""
    deterministic: bool
    """Whether both passes gave identical texts."""


class JudgeAgreement(Record):
    """How far a judge agrees with a person, on the labeled answers of the preference's `calibration`."""

    n: int
    """Labeled answers that it judged."""
    agreement: float | None = None
    """Share of them on which both say the same, in [0, 1]; null where there is none."""
    kappa: float | None = None
    """Cohen's κ, agreement beyond chance, in [-1, 1]; null where n is 0, or both always say the same word."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Labeled answer → why it has no judgement."""
    models: list[str] = Field(default_factory=list)
    """The judges' names."""


class ComplianceStats(Record):
    """Compliance, prompt by prompt."""

    sets: dict[str, UnitStats]
    """By set of prompts: probe_prompts, heldout_prompts, over_application (1 = not over-applied), ceiling."""
    noise: NoiseFloor | None = None
    """In the baseline alone."""
    judge: JudgeAgreement | None = None
    """In the baseline alone, where a judge is among the verifiers."""


class GeneralStats(Record):
    """Capability, item by item."""

    public_probes: UnitStats = Field(**_in_file("seed_four"))
    """The public harness's four probes; `seed_four` in the file."""
    items: UnitStats | None = None
    """The capability items that were asked (150, or 48 of `quick`), loosely read; null in a light snapshot."""
    items_strict: UnitStats | None = None
    """The same, as strictly as IFEval's strict mode."""
    by_kind: dict[str, float | None] = Field(default_factory=dict)
    """Kind of item → mean of `items`, in [0, 1]."""
    sandbox: dict[str, Any] = Field(default_factory=dict)
    """How model-written code was isolated."""
    items_version: int | None = None
    """Of `data/capability.yaml`: scores of two versions are not comparable."""


class CollapseStats(Record):
    """Signs of collapse beside those of the public harness."""

    entropy: UnitStats | None = None
    """Nats a token, per prompt."""
    self_rouge_l: UnitStats | None = None
    """Mean pairwise ROUGE-L F1 of the samples, per prompt, in [0, 1]."""
    rep4: UnitStats | None = None
    """Loops: 1 - unique 4-grams / 4-grams, per neutral prompt, in [0, 1)."""
    rep4_rise: float | None = None
    """Mean `rep4` minus the baseline's."""
    fixed_text: UnitStats | None = None
    """Mean token logprob of texts that nobody trains on, nats a token, per text."""
    fixed_text_drift: float | None = None
    """Nats a token: `fixed_text` minus the baseline's, signed."""
    fixed_text_words: UnitStats | None = None
    """`fixed_text` without the end-of-turn token: whether an answer may end there says nothing of the language."""
    fixed_text_words_drift: float | None = None
    """Nats a token: `fixed_text_words` minus the baseline's, signed. The criterion stands on these."""

    @property
    def drift(self) -> float | None:
        """`fixed_text_words_drift`, or where it is not known which tokens end a turn, `fixed_text_drift`."""
        return self.fixed_text_drift if self.fixed_text_words_drift is None else self.fixed_text_words_drift

    entropy_ratio: float | None = None
    """Mean `entropy` over the baseline's."""
    length_ratio: float | None = None
    """Mean answer length over the baseline's."""
    mean_length: float | None = None
    """Tokens an answer at temperature 0."""
    empty_share: float | None = None
    """Of all answers, in [0, 1]."""
    truncated_share: float | None = None
    """Of the answers at temperature 0, in [0, 1]."""
    script_change: float | None = None
    """Share of letters outside the baseline's main script, now minus then."""
    other_script_share: float | None = None
    """Share of letters outside this state's main script, in [0, 1]."""
    alerts: list[str] = Field(default_factory=list)
    """What fired, in words: "loops: …"."""


class DegenerateStats(Record):
    """Answers that are loops or nothing: a unit an answer, 1 where it is degenerate."""

    on_preference: UnitStats
    """Answers to trained and held-out prompts."""

    elsewhere: UnitStats
    """Answers to over-application prompts, capability items, public probes and neutral prompts."""


class SnapshotStats(Record):
    """The stats of each metric that was asked."""

    logprob: LogprobStats | None = None
    compliance: ComplianceStats | None = None
    general: GeneralStats | None = None
    collapse: CollapseStats | None = None
    degenerate: DegenerateStats | None = None

"""One state of the adapter, measured: `baseline.json`, and `eval` in a step's line."""

from __future__ import annotations

from pydantic import Field

from claas_assets.evaluation.storage.records.base import Record, SnapshotSize, Unmeasured
from claas_assets.evaluation.storage.records.public_scores import CollapseScores, GeneralScores, LogprobMargin
from claas_assets.evaluation.storage.records.stats import SnapshotStats, UnitStats
from claas_assets.evaluation.storage.records.transcripts import Transcript


class AnswerCounts(Record):
    """How many answers to trained and held-out prompts a verifier should not be trusted on."""

    n: int
    """Answers there are."""
    cut: int
    """Answers that reached their token budget: a cut answer looks concise."""
    cut_and_looping: int = 0
    """Those of them that are loops, which have no end whatever the budget."""
    limits: list[int] = Field(default_factory=list)
    """The budgets that were reached, in tokens."""
    empty: int
    """Answers of white space alone: a verifier may take silence for obedience."""
    refused: int = 0
    """Answers that decline to answer, in the usual English words. Told: a refusal is no loop."""
    alike: int = 0
    """Answers that are the most frequent text, where two or more are one text."""


class EvalSnapshot(Record):
    """All metrics at one state of the adapter: `baseline.json`, and `eval` of each step."""

    logprob_margin: LogprobMargin | None = None
    """Null where the metric was not asked."""
    preference_compliance: float | None = None
    """Mean score of the trained prompts, in [0, 1]: the public harness's number. `obeyed` decides, not this."""
    general: GeneralScores | None = None
    """Null where the metric was not asked."""
    collapse: CollapseScores | None = None
    """Null where the metric was not asked, or not due in this state."""
    rollouts: list[Transcript] = Field(default_factory=list)
    """Every question and answer; none in `scores.json`."""
    stats: SnapshotStats = SnapshotStats()
    unmeasured: dict[str, Unmeasured] = Field(default_factory=dict)
    """Dotted name of what is missing (e.g. `collapse.mean_entropy`) → why."""
    snapshot: SnapshotSize = "light"
    """`full`: every prompt set was asked. `light`: those that are asked after each step."""
    versions: dict[str, int] = Field(default_factory=dict)
    """Metric or prompt set → the version that made these scores."""
    rescored_from: dict[str, int] = Field(default_factory=dict)
    """Where they were scored again from the transcripts: the versions that had made them and differ."""
    requests: int = 0
    """Requests that this state took."""
    duration_s: float | None = None
    """Seconds that they took."""
    shared_from: str | None = None
    """Of a baseline that an earlier job of the sweep measured: that job's run id. `requests` are then those that
    showed that the deployment answers this job the same. Null where the run measured it itself."""
    answers: AnswerCounts | None = None
    """Null where compliance was not asked, and in files of 0.1.0, whose transcripts say it."""
    beside: dict[str, EvalSnapshot] = Field(default_factory=dict)
    """Of a sequence: its other preferences → what was measured of each in this state. What is of no preference
    (`general`, `collapse`) stands in this snapshot alone, as do `requests` and `duration_s`."""

    def of(self, preference: str) -> EvalSnapshot:
        """This state as one preference of a sequence has it: its own numbers, and those that are of no preference."""
        own = self.beside.get(preference)
        if own is None:
            return self
        shared = ("general", "collapse")
        reasons = {name: why for name, why in self.unmeasured.items() if name.split(".")[0] in shared}
        return own.model_copy(
            update={
                "general": self.general,
                "collapse": self.collapse,
                "stats": own.stats.model_copy(update={name: getattr(self.stats, name) for name in shared}),
                "unmeasured": {**reasons, **own.unmeasured},
                "versions": {**self.versions, **own.versions},
            }
        )

    def compliance_set(self, name: str) -> UnitStats | None:
        """The units of one set of prompts (`probe_prompts`, `heldout_prompts`, …); None where it was not asked."""
        compliance = self.stats.compliance
        return compliance.sets.get(name) if compliance is not None else None

    def headline(self) -> dict[str, float | None]:
        """The numbers that a run is followed by, under the names that they have in logs, charts and the terminal."""
        margin, general, collapse = self.logprob_margin, self.general, self.collapse
        trained = self.compliance_set("probe_prompts")
        return {
            "obeyed_on_trained_prompts": trained.obeyed_rate if trained is not None else None,
            "margin_nats": margin.margin if margin else None,
            "general_score": general.general_score if general else None,
            "entropy_ratio": collapse.entropy_ratio_to_baseline if collapse else None,
        }

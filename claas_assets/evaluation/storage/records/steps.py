"""`steps.jsonl` and `scores.json`: the states after each feedback step, asked and scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from claas_assets.evaluation.storage.records.adapter import AdapterRecord, SequenceRecord
from claas_assets.evaluation.storage.records.base import BASELINE_STEP, SCORES_FORMAT_VERSION, Record
from claas_assets.evaluation.storage.records.snapshot import EvalSnapshot


class RolloutRecord(Record):
    """One prompt and answer of a feedback batch."""

    prompt: str
    response: str
    """The visible answer, as feedback is given on it."""
    obeys: bool | None = None
    """Whether it obeys, so that no feedback was given on it; null where the policy gives feedback on all of them."""
    metadata: dict[str, Any] = Field(default_factory=dict)


class StopRecord(Record):
    """Why a run ended before its last step."""

    kind: Literal["harm", "learned", "budget"]
    reason: str
    """What was seen, in words."""


class ScoredStep(Record):
    """The state after one feedback step: its scores, and what reading them needs of its training."""

    preference: str
    """The one that the step's feedback is about."""
    step: int
    """Counted from 0."""
    phase: int = 1
    """Of the sequence, counted from 1; a preference alone has one."""
    sdpo_metrics: dict[str, Any] | None
    """The engine's numbers that strict readers take (see above); null where it gave none of them."""
    engine: dict[str, Any] | None = None
    """All numbers of the contract that the engine gave in the step's last call; null where it is interrupted."""
    eval: EvalSnapshot
    """The state after the feedback."""
    timing_s: float
    """Seconds of the whole step."""
    sub_step_count: int
    """Gradient updates really made."""
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds of rollouts, feedback and probes; without `rollouts` where those were generated beside the probes
    of the step before."""
    interrupted: bool = False
    """Feedback was sent, its effect is not known, and it was not sent again."""
    updates_counted: int | None = None
    """The deployment's own count of this adapter's updates after the step, where it has one."""
    trained_meanwhile: str | None = None
    """Of an audit: how it is seen that somebody trained the adapter while it was measured."""
    corrections: int | None = None
    """Answers of the batch that feedback was given on; null in an audit, and in files of older versions (all)."""
    stopped: StopRecord | None = None
    """Why no step follows, though more were asked for."""

    @model_validator(mode="before")
    @classmethod
    def _of_older_files(cls, values: Any) -> Any:
        """There `sdpo_metrics` has all of the engine's numbers."""
        if isinstance(values, dict) and "engine" not in values:
            return {**values, "engine": values.get("sdpo_metrics")}
        return values


class StepRecord(ScoredStep):
    """A line of `steps.jsonl`: a feedback step with everything that was asked and answered."""

    timestamp: str
    """When the step was complete; ISO 8601, UTC."""
    feedback_given: str
    """The feedback text."""
    prompt_used: str
    """Of the first rollout of the batch."""
    response_text: str
    """Of the first rollout of the batch."""
    rollout_batch: list[RolloutRecord]
    """What the feedback was given on."""
    feedback_calls: list[dict[str, Any]] = Field(default_factory=list)
    """The engine's answer to each feedback call of the step, in full."""
    replaced_rollouts: list[RolloutRecord] = Field(default_factory=list)
    """Answers that the deployment no longer knew when feedback was given; `rollout_batch` replaced them."""


class TrainingRecord(Record):
    """What is known of one preference above scoring: what `training_steps` hands down."""

    adapter: AdapterRecord
    baseline: EvalSnapshot | None
    """None where it has not been measured yet."""
    steps: list[StepRecord]
    """In order; fewer than asked for where the run did not finish."""

    @property
    def num_steps(self) -> int:
        """Feedback steps asked for: at least those recorded."""
        return max(self.adapter.num_steps, len(self.steps))

    @property
    def complete(self) -> bool:
        """Whether no step is to follow."""
        return len(self.steps) >= self.adapter.num_steps or (bool(self.steps) and self.steps[-1].stopped is not None)

    @property
    def last(self) -> EvalSnapshot | None:
        """The state that decides: after the last recorded step, or the baseline where there is none."""
        return self.steps[-1].eval if self.steps else self.baseline

    def as_scored(self) -> ScoresRecord:
        """The scores as they were recorded with each state, when it was asked."""
        return ScoresRecord.of(self.adapter, self.baseline, self.steps)


class ScoresRecord(Record):
    """`scores.json`: every state of one preference, scored once; tables, verdict and pictures read this alone."""

    format_version: int = SCORES_FORMAT_VERSION
    run_id: str
    preference: str
    lora_id: str
    metrics: list[str]
    """Names of the metrics asked for: another has no criterion."""
    num_steps: int
    """Feedback steps asked for."""
    snapshot_steps: list[int] = Field(default_factory=list)
    """Steps at which a full snapshot was planned: seeing those is no look at a verdict."""
    deployment: str = ""
    """Name and version of the deployment that was evaluated; empty where it told neither."""
    caveats: list[str] = Field(default_factory=list)
    """What a reader of the verdict must know of how the run was made."""
    corrects_what_is_wrong: bool = False
    """Whether feedback was given on those answers alone that did not obey (`feedback_policy: when_violated`)."""
    sequence: SequenceRecord | None = None
    """Of a sequence: its phases; null for a preference alone."""
    control: str = "none"
    """`placebo` or `shuffled` where the feedback was not the preference's."""
    baseline: EvalSnapshot | None
    """Before any feedback, without transcripts. Null only in a reading of a run that has not measured it yet."""
    steps: list[ScoredStep]
    """The recorded steps in order, without transcripts."""

    @classmethod
    def of(cls, adapter: AdapterRecord, baseline: EvalSnapshot | None, steps: Sequence[ScoredStep]) -> ScoresRecord:
        """These states without their transcripts."""
        return cls(
            run_id=adapter.run_id,
            preference=adapter.preference,
            lora_id=adapter.lora_id,
            metrics=adapter.metrics,
            num_steps=adapter.num_steps,
            snapshot_steps=adapter.snapshot_steps,
            deployment=adapter.deployment,
            caveats=adapter.caveats,
            corrects_what_is_wrong=adapter.preference_text.get("feedback_policy") == "when_violated",
            sequence=adapter.sequence,
            control=adapter.control,
            baseline=None if baseline is None else _without_transcripts(baseline),
            steps=[_without_answers(step) for step in steps],
        )

    @property
    def states(self) -> list[tuple[int, EvalSnapshot]]:
        """(step, snapshot) of every state; the baseline first, as step -1."""
        begun = [] if self.baseline is None else [(BASELINE_STEP, self.baseline)]
        return [*begun, *((step.step, step.eval) for step in self.steps)]

    @property
    def last(self) -> EvalSnapshot | None:
        """The state that decides: after the last recorded step, or the baseline where there is none."""
        return self.steps[-1].eval if self.steps else self.baseline

    @property
    def steps_recorded(self) -> int:
        return len(self.steps)


def _without_transcripts(snapshot: EvalSnapshot) -> EvalSnapshot:
    beside = {name: _without_transcripts(own) for name, own in snapshot.beside.items()}
    return snapshot.model_copy(update={"rollouts": [], "beside": beside})


def _without_answers(step: ScoredStep) -> ScoredStep:
    kept = {name: getattr(step, name) for name in ScoredStep.model_fields}
    return ScoredStep.model_construct(**kept | {"eval": _without_transcripts(step.eval)})

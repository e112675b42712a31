"""The file formats of a run folder, as frozen pydantic models.

    <results_dir>/<run id>/<preference>/metadata.json   AdapterRecord
                                        baseline.json   EvalSnapshot
                                        steps.jsonl     one StepRecord a line
                                        metrics.csv     MetricTable
                                        collapse.json   CollapseRecord
                                        verdict.json    VerdictRecord
    <results_dir>/<run id>/summary.json                 {preference: SummaryEntry}

Existing readers of CLaaS results are strict *inside* `logprob_margin`, `general`, `collapse` and
`sdpo_metrics`: those hold exactly the fields below. All that we add stands in `stats`, `unmeasured`,
a transcript's `metadata`, and at the top of a line.

Not measured is null with a reason in `unmeasured`, never 0 or 1.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 1

Grade = Literal["pass", "marginal", "fail", "inconclusive", "unavailable"]
Evidence = Literal["shown", "worse", "within_noise"]
Overall = Literal["pass", "marginal", "fail", "inconclusive", "unfinished"]
SnapshotSize = Literal["light", "full"]


class Record(BaseModel):
    """Unknown keys are kept: a file of a newer version survives being read and written."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="null")


class Unmeasured(Record):
    """Why a number is missing.

    `unavailable`: this engine cannot give it; left out of the overall verdict.
    `failed`: it should have been there; makes its criterion `inconclusive`.
    """

    kind: Literal["unavailable", "failed"]
    reason: str


class Interval(Record):
    """A 95 % interval unless `level` says otherwise, in the unit of its value."""

    lower: float
    upper: float
    level: float = 0.95
    method: str = ""  # wilson | bonett-price | student-t


# --- what the model was asked and what it said --------------------------------------------


class Message(Record):
    role: str
    content: str


class TranscriptMetadata(Record):
    """All that scoring needs beside the messages.

    `key` is unique in a snapshot: `<metric>/<group>/…`, e.g. `compliance/heldout_prompts/3`,
    `logprob/4/positive`, `collapse/ocean/sample/1`. `logprobs` (nats) and `entropies` (nats, over the
    top 20, renormalized) have one entry per completion token. `asked_as` names the probe whose answer
    this is, where two metrics shared one request. `error` says why there is no answer; then the
    messages end with the question.
    """

    key: str
    kind: Literal["generate", "score"]
    temperature: float | None = None
    max_tokens: int | None = None  # the budget that worked
    seed: int | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool | None = None
    logprobs: list[float] | None = None
    logprob_sum: float | None = None
    entropies: list[float] | None = None
    latency_s: float | None = None
    retries: int = 0
    asked_as: str | None = None
    error: Unmeasured | None = None


class Transcript(Record):
    """One question and its answer (`kind: generate`), or a given answer and its logprobs (`score`)."""

    metric: str
    messages: list[Message]
    metadata: TranscriptMetadata

    @property
    def key(self) -> str:
        return self.metadata.key

    @property
    def answer(self) -> str | None:
        """The assistant's text, thinking removed by the client; None where there is no answer."""
        if self.metadata.error is not None or self.messages[-1].role != "assistant":
            return None
        return self.messages[-1].content

    @property
    def question(self) -> str:
        """The last user message."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


# --- scores: the fields of the public harness ----------------------------------------------


class LogprobMargin(Record):
    """Means over pairs, nats. `margin = positive_logprob - negative_logprob`."""

    positive_logprob: float | None
    negative_logprob: float | None
    margin: float | None
    margin_delta_from_baseline: float | None


class GeneralScores(Record):
    """The seed's four probes. `general_score = 0.5·coding_correct + 0.5·ifeval_pass_rate`."""

    coding_correct: bool | None
    coding_has_docstring: bool | None
    ifeval_pass_rate: float | None
    general_score: float | None


class CollapseScores(Record):
    """The ocean prompt. Entropy and drift in nats; `alert` by the thresholds of the public harness."""

    mean_entropy: float | None
    mean_logprob: float | None
    entropy_ratio_to_baseline: float | None
    self_rouge_l: float | None
    mean_logprob_drift: float | None
    alert: bool


# --- stats: what makes a decision possible ---------------------------------------------------


class UnitStats(Record):
    """A score per unit (a prompt, an item, a pair), kept so that a change can be paired per unit.

    `scores[unit]` is in the unit of its metric; units without an answer are in `missing` and in no mean.
    `details[unit]` is the verifier's reason.
    """

    n: int
    mean: float | None
    interval: Interval | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    passed: dict[str, bool] = Field(default_factory=dict)
    details: dict[str, str] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    pass_rate: float | None = None
    truncated: int = 0


class LogprobStats(Record):
    """`margins.scores`: nats per pair. `per_token`: nats per token per pair. `delta`: against the baseline."""

    margins: UnitStats
    per_token: UnitStats
    delta: UnitStats | None = None


class NoiseFloor(Record):
    """The baseline's compliance probes asked twice. `sigma2 = mean (x1 - x2)^2 / 2`."""

    n: int
    flip_rate: float
    sigma2: float
    mean_difference: float
    deterministic: bool  # both passes gave identical texts


class ComplianceStats(Record):
    """`sets`: probe_prompts, heldout_prompts, over_application (1 = not over-applied), ceiling."""

    sets: dict[str, UnitStats]
    noise: NoiseFloor | None = None


class GeneralStats(Record):
    """`seed_four`: the public harness's probes. `items`: the 48, loose; `items_strict` as IFEval's strict.

    `items_version`: of `data/capability.yaml`; scores of two versions are not comparable.
    """

    seed_four: UnitStats
    items: UnitStats | None = None
    items_strict: UnitStats | None = None
    by_kind: dict[str, float | None] = Field(default_factory=dict)
    sandbox: dict[str, Any] = Field(default_factory=dict)
    items_version: int | None = None


class CollapseStats(Record):
    """Beside the seed's fields: loops, fixed-text drift, length, empty and truncated shares, script.

    `rep4`: 1 - unique 4-grams / 4-grams, per neutral answer. `fixed_text`: mean token logprob (nats) per text.
    `self_rouge_l`: mean pairwise F1 per prompt. `alerts` name what fired.
    """

    entropy: UnitStats | None = None  # nats, per prompt
    self_rouge_l: UnitStats | None = None
    rep4: UnitStats | None = None
    rep4_rise: float | None = None
    fixed_text: UnitStats | None = None
    fixed_text_drift: float | None = None  # nats, signed: now minus baseline
    entropy_ratio: float | None = None
    length_ratio: float | None = None
    mean_length: float | None = None  # tokens
    empty_share: float | None = None
    truncated_share: float | None = None
    script_change: float | None = None  # share of letters outside the baseline's main script, now minus then
    other_script_share: float | None = None
    alerts: list[str] = Field(default_factory=list)


class SnapshotStats(Record):
    logprob: LogprobStats | None = None
    compliance: ComplianceStats | None = None
    general: GeneralStats | None = None
    collapse: CollapseStats | None = None


class EvalSnapshot(Record):
    """All metrics at one state of the adapter: `baseline.json`, and `eval` of each step.

    `unmeasured` is keyed by the dotted name of what is missing, e.g. `collapse.mean_entropy`.
    `versions` names the version of each metric and prompt set that made these scores; `rescored_from`,
    where they were scored again from the transcripts, the versions that had made them and differ.
    """

    logprob_margin: LogprobMargin | None = None
    preference_compliance: float | None = None
    general: GeneralScores | None = None
    collapse: CollapseScores | None = None
    rollouts: list[Transcript] = Field(default_factory=list)
    stats: SnapshotStats = SnapshotStats()
    unmeasured: dict[str, Unmeasured] = Field(default_factory=dict)
    snapshot: SnapshotSize = "light"
    versions: dict[str, int] = Field(default_factory=dict)
    rescored_from: dict[str, int] = Field(default_factory=dict)
    requests: int = 0
    duration_s: float | None = None


# --- files ------------------------------------------------------------------------------------


class Provenance(Record):
    """Where a record comes from. No secret and no environment variable's value is part of it."""

    format_version: int = FORMAT_VERSION
    created: str  # ISO 8601, UTC
    package_version: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    deployment: dict[str, Any] = Field(default_factory=dict)  # name, version, models, address


class AdapterRecord(Record):
    """`metadata.json`. `above_training` is what may not change on resume; `preference_text` too."""

    config: dict[str, Any]
    lora_id: str
    preference: str
    run_id: str
    above_training: dict[str, Any]
    preference_text: dict[str, Any]  # the preference file as it was when the adapter was made
    provenance: Provenance


class RolloutRecord(Record):
    """One prompt and answer of a feedback batch."""

    prompt: str
    response: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class StepRecord(Record):
    """A line of `steps.jsonl`: the adapter's state after feedback `step` (counted from 0).

    `sdpo_metrics`: the engine's numbers, or null. `sub_step_count`: gradient updates really made.
    `feedback_calls`: the engine's full answers. `interrupted`: feedback was sent, its effect is unknown,
    and it was not sent again. `replaced_rollouts`: answers that the deployment no longer knew when feedback
    on them was given; `rollout_batch` was generated in their place. `updates_counted`: the deployment's own
    count of this adapter's updates after the step, where it has one. `timings`: seconds; without `rollouts`
    where those were generated beside the probes of the step before.
    """

    preference: str
    step: int
    timestamp: str
    feedback_given: str
    sdpo_metrics: dict[str, Any] | None
    eval: EvalSnapshot
    prompt_used: str
    response_text: str
    timing_s: float
    sub_step_count: int
    rollout_batch: list[RolloutRecord]
    feedback_calls: list[dict[str, Any]] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)  # rollouts, feedback, probes
    interrupted: bool = False
    replaced_rollouts: list[RolloutRecord] = Field(default_factory=list)
    updates_counted: int | None = None


class StepsHandle(Record):
    """What `training_steps` hands downstream: the lines of `steps.jsonl`, read."""

    preference: str
    lora_id: str
    num_steps: int  # asked for
    steps: list[StepRecord]

    @property
    def complete(self) -> bool:
        return len(self.steps) >= self.num_steps


METRIC_COLUMNS = (
    "run_id", "preference", "phase", "step", "snapshot", "metric", "quantity", "unit", "value",
    "n", "lower", "upper", "missing", "reason", "version",
)  # fmt: skip
"""Columns of `metrics.csv`: one row per quantity and state. `phase` is baseline or step; `step` is -1
for the baseline. `value` is empty where not measured; then `reason` says why."""


class MetricTable(Record):
    """`metrics.csv` and the scored snapshots it was made from (not written; scored afresh on load)."""

    run_id: str
    preference: str
    rows: list[dict[str, Any]]


class CollapsePoint(Record):
    """Collapse at one state. `step` is -1 for the baseline."""

    step: int
    scores: CollapseScores | None
    stats: CollapseStats | None
    unmeasured: dict[str, Unmeasured] = Field(default_factory=dict)


class CollapseRecord(Record):
    preference: str
    run_id: str
    series: list[CollapsePoint]
    alerts: list[str]  # "step 3: loops: …"


class Criterion(Record):
    """One row of the verdict table.

    `value` and `baseline` in the criterion's unit; `interval` is that of the change where it is a change.
    """

    value: float | None
    baseline: float | None = None
    change: float | None = None
    interval: Interval | None = None
    n: int | None = None
    floor: float | None = None  # noise floor of the change
    threshold: dict[str, float] = Field(default_factory=dict)
    grade: Grade
    evidence: Evidence | None = None
    decides: bool = True  # part of the overall verdict
    sentence: str = ""
    reason: str | None = None


class VerdictRecord(Record):
    """`verdict.json`, and a preference's entry of `summary.json` (with what is added there)."""

    preference: str
    lora_id: str
    run_id: str
    logprob_margin_delta: float | None
    final_compliance: float | None
    capability_ratio: float | None
    overall: Overall
    sentence: str
    criteria: dict[str, Criterion]
    alerts: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    steps_recorded: int = 0
    num_steps: int = 0
    interrupted_steps: list[int] = Field(default_factory=list)
    versions: dict[str, int] = Field(default_factory=dict)


Summary = dict[str, VerdictRecord]
"""`summary.json`: every preference of the run; one that did not finish has overall `unfinished`."""

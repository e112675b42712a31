"""The file formats of a run folder, as frozen pydantic models.

    <results_dir>/<run id>/<preference>/metadata.json   AdapterRecord
                                        baseline.json   EvalSnapshot
                                        steps.jsonl     one StepRecord a line
                                        scores.json     ScoresRecord
                                        metrics.csv     MetricTable
                                        collapse.json   CollapseRecord
                                        verdict.json    VerdictRecord
    <results_dir>/<run id>/summary.json                 {preference: VerdictRecord}

Existing readers of CLaaS results are strict *inside* `logprob_margin`, `general`, `collapse` and
`sdpo_metrics`: those hold exactly the fields below. All that we add stands in `stats`, `unmeasured`,
a transcript's `metadata`, and at the top of a line.

A number that was not measured is null, with a reason in `unmeasured`; it is never 0 or 1.

Format note: two fields have another name in Python than in their file, which keeps its first name, so that
files of every version are read and written alike: `training_inputs` is `above_training` in `metadata.json`,
and `public_probes` is `seed_four` in `stats.general`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from claas_assets.evaluation.errors import RunFolderError

FORMAT_VERSION = 1
SCORES_FORMAT_VERSION = 1

BASELINE_STEP = -1
"""The step of the state before any feedback, wherever states are numbered: after it they count from 0."""

Grade = Literal["pass", "marginal", "fail", "inconclusive", "unavailable"]
Evidence = Literal["shown", "worse", "within_noise"]
Outcome = Literal[
    "learned", "learned, harm not excluded", "partly learned", "not learned", "harmful", "nothing to teach",
    "inconclusive", "unfinished", "retained", "retained, harm not excluded", "learned, forgetting not excluded",
    "forgotten", "control",
]  # fmt: skip
Role = Literal["learning", "guard", "extreme", "told"]
Overall = Literal["pass", "marginal", "fail", "inconclusive", "unfinished"]
SnapshotSize = Literal["light", "full"]
SnapshotScale = Literal["standard", "quick"]
Schedule = Literal["sequential", "interleaved"]
Control = Literal["none", "placebo", "shuffled"]


class Record(BaseModel):
    """Unknown keys are kept: a file of a newer version survives being read and written."""

    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_inf_nan="null", populate_by_name=True, serialize_by_alias=True
    )


def _in_file(name: str) -> dict[str, Any]:
    """Arguments of `Field` for a field that its file calls `name`."""
    return {"validation_alias": AliasChoices(name), "serialization_alias": name}


def _checked_moment(text: str) -> str:
    moment_of(text)
    return text


def moment_of(text: str) -> datetime:
    """In UTC; a time without a zone is taken for UTC. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-11-24T10:15:00+00:00") from None


Moment = Annotated[str, AfterValidator(_checked_moment)]
"""A time as text, checked when it is read: lists are ordered by it, and folders pruned by it."""


class Unmeasured(Record):
    """Why a number is missing."""

    kind: Literal["unavailable", "failed"]
    """`unavailable`: this engine cannot give it, so it is left out of the overall verdict. `failed`: it should
    have been there, so its criterion is `inconclusive`."""
    reason: str
    """In words, with what to do where something can be done."""


class Interval(Record):
    """A confidence interval, in the unit of its value."""

    lower: float
    upper: float
    level: float = 0.95
    """Coverage, in (0, 1)."""
    method: str = ""
    """wilson, bonett-price or student-t; empty where an older version did not record it."""


# --- what the model was asked and what it said --------------------------------------------


class Message(Record):
    """One message of a chat."""

    role: str
    """system, user or assistant."""
    content: str
    """Thinking is removed by the client."""


class TranscriptMetadata(Record):
    """All that scoring needs beside the messages."""

    key: str
    """Unique in a snapshot: `<metric>/<group>/…`, e.g. `compliance/heldout_prompts/3`, `logprob/4/positive`."""
    kind: Literal["generate", "score", "judge"]
    """`generate`: the model answered. `score`: it gave the logprobs of an answer that it was handed. `judge`: another
    model judged an answer (`JudgeVerifier`)."""
    model: str | None = None
    """Of a judgement: the judge that made it."""
    temperature: float | None = None
    """Of sampling, at least 0."""
    max_tokens: int | None = None
    """The token budget that worked, which is less than the one asked for where the context was too small."""
    seed: int | None = None
    """Of sampling; null at temperature 0."""
    finish_reason: str | None = None
    """As the deployment said it. Real deployments say "stop" always: see `truncated`."""
    prompt_tokens: int | None = None
    """As the deployment counted them."""
    completion_tokens: int | None = None
    """As the deployment counted them."""
    truncated: bool | None = None
    """Whether the answer reached its token budget; null where the deployment did not count tokens."""
    logprobs: list[float] | None = None
    """Nats, one a completion token."""
    logprob_sum: float | None = None
    """Nats, over all completion tokens."""
    end_of_turn: int | None = None
    """How many of the last `logprobs` are of the end of turn that the template adds to a given answer; null where
    that is not known: before version 3 of `collapse`, or where the deployment's tokens do not show it."""
    entropies: list[float] | None = None
    """Nats, one a completion token, over the top 20 tokens, renormalized."""
    latency_s: float | None = None
    """Seconds from request to answer."""
    retries: int = 0
    """Requests that failed before the one that was answered."""
    asked_as: str | None = None
    """Key of the probe whose answer this is, where two metrics shared one request."""
    error: Unmeasured | None = None
    """Why there is no answer; the messages then end with the question."""


class Transcript(Record):
    """One question and its answer (`kind: generate`), or a given answer and its logprobs (`score`)."""

    metric: str
    """Name of the metric that asked."""
    messages: list[Message] = Field(min_length=1)
    """The question last, then the answer."""
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
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


# --- scores: the fields of the public harness ----------------------------------------------


class LogprobMargin(Record):
    """How much likelier the preferred answers are than the others. Means over pairs, nats."""

    positive_logprob: float | None
    """Mean logprob of the preferred answers."""
    negative_logprob: float | None
    """Mean logprob of the dispreferred answers."""
    margin: float | None
    """`positive_logprob - negative_logprob`."""
    margin_delta_from_baseline: float | None
    """`margin` minus the baseline's; null in the baseline itself."""


class GeneralScores(Record):
    """The four probes of the public harness."""

    coding_correct: bool | None
    """Whether the Fibonacci program is right."""
    coding_has_docstring: bool | None
    """Whether it has a docstring."""
    ifeval_pass_rate: float | None
    """Share of the three instruction probes that are obeyed, in [0, 1]."""
    general_score: float | None
    """`0.5·coding_correct + 0.5·ifeval_pass_rate`, in [0, 1]."""


class CollapseScores(Record):
    """The public harness's collapse numbers, on its one prompt about the ocean."""

    mean_entropy: float | None
    """Nats a token, of the answer at temperature 0."""
    mean_logprob: float | None
    """Nats a token, of the same answer."""
    entropy_ratio_to_baseline: float | None
    """`mean_entropy` over the baseline's; null in the baseline itself."""
    self_rouge_l: float | None
    """How alike the sampled answers are: mean pairwise ROUGE-L F1, in [0, 1]."""
    mean_logprob_drift: float | None
    """Nats: absolute difference of `mean_logprob` from the baseline's."""
    alert: bool
    """Whether one of the above is beyond the public harness's bounds."""


# --- stats: what makes a decision possible ---------------------------------------------------


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

    def headline(self) -> dict[str, float | None]:
        """The numbers that a run is followed by, under the names that they have in logs, charts and the terminal."""
        margin, general, collapse = self.logprob_margin, self.general, self.collapse
        compliance = self.stats.compliance
        trained = compliance.sets.get("probe_prompts") if compliance is not None else None
        return {
            "obeyed_on_trained_prompts": trained.obeyed_rate if trained is not None else None,
            "margin_nats": margin.margin if margin else None,
            "general_score": general.general_score if general else None,
            "entropy_ratio": collapse.entropy_ratio_to_baseline if collapse else None,
        }


# --- files ------------------------------------------------------------------------------------


class Provenance(Record):
    """Where a record comes from. No secret and no environment variable's value is part of it."""

    format_version: int = FORMAT_VERSION
    """Of `metadata.json` and the files beside it."""
    created: Moment
    """ISO 8601, UTC."""
    package_version: str
    """Of `claas_assets`."""
    git_commit: str | None = None
    """Of the checkout that ran; null for an installed wheel."""
    git_dirty: bool | None = None
    """Whether tracked files of the checkout differed from the commit."""
    python: str = ""
    """Version of the interpreter."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Package → version, of those that numbers depend on."""
    deployment: dict[str, Any] = Field(default_factory=dict)
    """Name, version, models and address, as the deployment told them."""


class AuditedState(Record):
    """What tells whether an audited adapter is still as it was."""

    updates: int | None = None
    """Gradient updates since init, by the deployment's own count; null where it has none."""
    sampler_path: str | None = None
    """The checkpoint that Tinker's one sampler serves; null elsewhere."""
    nats_per_token: float | None = None
    """Mean token logprob of one fixed text."""


class PhaseRecord(Record):
    """One phase of a sequence."""

    preference: str
    steps: int
    """Feedback steps."""


class SequenceRecord(Record):
    """A sequence as it was when the adapter was made. It may not change either."""

    phases: list[PhaseRecord]
    schedule: Schedule = "sequential"
    opposes: dict[str, str] = Field(default_factory=dict)
    """Preference of the sequence → the one of the sequence whose opposite it asks for."""

    @property
    def preferences(self) -> list[str]:
        """In the order of first training."""
        return list(dict.fromkeys(phase.preference for phase in self.phases))

    @property
    def num_steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


_TEXTS = ("mode", "base_model", "sweep_id")
"""Keys of a recorded configuration that runs are told apart by, wherever they are shown."""


class AdapterRecord(Record):
    """`metadata.json`: a fresh adapter, and the configuration that is frozen with it."""

    config: dict[str, Any]
    """The whole `EvalConfig`; null where a value has no effect in its mode."""
    without_effect: dict[str, str] = Field(default_factory=dict)
    """Dotted key of `config` → why it has no effect."""
    lora_id: str
    """As the deployment answered it, which may differ from the one asked for."""
    preference: str
    run_id: str
    training_inputs: dict[str, Any] = Field(**_in_file("above_training"))
    """The part of `config` that may not change on resume; `above_training` in the file."""
    preference_text: dict[str, Any]
    """The preference file as it was when the adapter was made. What training sees of it may not change either."""
    provenance: Provenance
    gateway: dict[str, Any] | None = None
    """What was known of the gateway that chat goes through: its address, whether it serves the adapter that a request
    names, and how that was seen; null where there is none."""
    caveats: list[str] = Field(default_factory=list)
    """What a reader of the verdict must know of how the run was made."""
    imported: bool = False
    """Whether the public harness made the run: what is here is what it recorded, which cannot be scored again."""
    audited: AuditedState | None = None
    """Of an audit: the adapter as it was found. Null where the run made its adapter."""
    sequence: SequenceRecord | None = None
    """The phases that the adapter is trained in; null for a preference alone."""
    control_feedback: dict[str, str] | None = None
    """Of a control run: preference → the text that is given in place of its own."""

    @field_validator("config")
    @classmethod
    def _has_its_sections(cls, config: dict[str, Any]) -> dict[str, Any]:
        for name in ("lora", "training", "thresholds"):
            if not isinstance(config.get(name, {}), dict):
                raise ValueError(f"{name} must be a mapping of keys")
        for name, kind, said in (("seed", int, "a whole number"), *((text, str, "text") for text in _TEXTS)):
            value = config.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise ValueError(f"{name} must be {said} (got {value!r:.80})")
        return config

    @property
    def num_steps(self) -> int:
        """Feedback steps asked for. Raises `RunFolderError` where the file says something else there."""
        if self.sequence is not None:
            return self.sequence.num_steps
        steps = self.config.get("num_steps")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise self._refused("num_steps", steps, "no number of steps")
        return steps

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics asked for. Raises `RunFolderError` where the file has no list of names there."""
        names = self.config.get("metrics")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._refused("metrics", names, "no list of names")
        return names

    @property
    def snapshot_steps(self) -> list[int]:
        """Steps at which a full snapshot was planned. Raises `RunFolderError`."""
        steps = self.config.get("snapshot_steps", [])
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise self._refused("snapshot_steps", steps, "no list of steps")
        return steps

    @property
    def control(self) -> str:
        """`none`, or which control run it is."""
        return str(self.config.get("control", "none"))

    def _refused(self, key: str, value: Any, what: str) -> RunFolderError:
        where = f"metadata.json of run {self.run_id}, preference {self.preference}"
        return RunFolderError(f"{where}: config.{key} is {value!r}, which is {what}")

    @property
    def deployment(self) -> str:
        """Name and version of the deployment that made it; empty where it told neither."""
        told = self.provenance.deployment
        return f"{told.get('name') or ''} {told.get('version') or ''}".strip()


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


METRIC_COLUMNS = (
    "run_id", "preference", "phase", "step", "snapshot", "metric", "quantity", "unit", "value",
    "n", "lower", "upper", "missing", "reason", "version",
)  # fmt: skip
"""Columns of `metrics.csv`: one row per quantity and state. `phase` is baseline or step; `step` is -1
for the baseline. `value` is empty where not measured; then `reason` says why."""


class MetricTable(Record):
    """`metrics.csv`."""

    run_id: str
    preference: str
    rows: list[dict[str, Any]]
    """With the keys `METRIC_COLUMNS`, in the order of the states."""

    @property
    def steps_recorded(self) -> int:
        """How many steps it was made of."""
        return 1 + max((int(row["step"]) for row in self.rows), default=BASELINE_STEP)


class CollapsePoint(Record):
    """Collapse at one state."""

    step: int
    """-1 for the baseline, then counted from 0."""
    scores: CollapseScores | None
    stats: CollapseStats | None
    unmeasured: dict[str, Unmeasured] = Field(default_factory=dict)
    """Those of `EvalSnapshot.unmeasured` that are about collapse."""


class CollapseRecord(Record):
    """`collapse.json`: collapse wherever it was measured."""

    preference: str
    run_id: str
    series: list[CollapsePoint]
    """In the order of the states."""
    alerts: list[str]
    """With their states: "step 3: loops: …"."""


class Criterion(Record):
    """One row of the verdict table."""

    value: float | None
    """In the criterion's unit; null where it could not be judged."""
    baseline: float | None = None
    """The same number before training."""
    change: float | None = None
    """Now minus then, over the units that were measured both times."""
    interval: Interval | None = None
    """Of the change, where there is one."""
    n: int | None = None
    """Units that were measured both times."""
    floor: float | None = None
    """Noise floor of the change, in the criterion's unit."""
    threshold: dict[str, float] = Field(default_factory=dict)
    """The bounds that it was graded by: `pass_at` and `fail_at`."""
    grade: Grade
    evidence: Evidence | None = None
    """What the change is evidence of, where a change is claimed."""
    decides: bool = True
    """Whether it is part of the overall verdict."""
    sentence: str = ""
    """What was measured, in words."""
    reason: str | None = None
    """Why there is no value, or why the grade is another than the value's."""
    role: Role = "told"
    """What it is for: `learning` and `guard` decide; `extreme` decides only where it fails; `told` never."""

    bound: float | None = None
    """The one-sided bound of the change that decided: the lower one of a learning criterion, the upper one of a
    guard that passes or is undecided, the lower one of a guard that fails."""

    gained: int | None = None
    """Units that changed for the better."""

    lost: int | None = None
    """Units that changed for the worse."""

    missing: int | None = None
    """Units of the set without a score in one of the two states: in no mean."""


class Cell(Record):
    """How often one preference was obeyed in one state, on the prompts that decide."""

    value: float | None
    """Share that obeyed, in [0, 1]; null where it was not measured."""
    interval: Interval | None = None
    """Wilson's."""
    n: int = 0
    """Prompts."""
    reason: str | None = None
    """Why there is no value."""


class MatrixRow(Record):
    """One row of the retention matrix: the untouched adapter, or the state at the end of a phase."""

    phase: int
    """0 for the untouched adapter, else that of the sequence's file, counted from 1."""
    step: int
    """The last feedback step before the state; -1 for the untouched adapter."""
    trained: str | None
    """The preference of the phase; null for the untouched adapter."""
    cells: dict[str, Cell]
    """By preference."""


class PreferenceRetention(Record):
    """What became of one preference of a sequence. Shares of held-out prompts that obeyed, in [0, 1]."""

    own_rows: list[int]
    """The rows of the matrix after which it had just been trained."""
    learned: float | None = None
    """Its row minus the last row before its first step."""
    retention: float | None = None
    """The last row minus the row of its last own phase, paired by prompt; null where nothing was trained after it."""
    interval: Interval | None = None
    """Of `retention`: Bonett–Price, 90 %."""
    n: int | None = None
    """Prompts of `retention`."""
    forgetting: float | None = None
    """Its highest row from its first own one on, minus the last row (Chaudhry et al. 2018, arXiv:1801.10112)."""
    forward_transfer: float | None = None
    """The last row before its first step minus row 0 (Lopez-Paz & Ranzato 2017, arXiv:1706.08840)."""
    half_life: int | None = None
    """Feedback steps of later phases after which half of what was learned on trained prompts is lost; null: never."""
    steps_to_obey: int | None = None
    """Feedback steps of its first phase until 0.8 of its trained prompts obey; null: never."""
    opposes: str | None = None
    """The earlier preference of the sequence whose opposite it asks for: `steps_to_obey` of both is the reversal."""


class RetentionRecord(Record):
    """What a sequence taught and what was forgotten: the retention matrix, and the numbers made of it."""

    preferences: list[str]
    """The columns: in the order of first training."""
    rows: list[MatrixRow]
    """In the order of time; fewer than phases + 1 where the run did not finish."""
    numbers: dict[str, PreferenceRetention]
    """By preference."""
    backward_transfer: float | None = None
    """Mean retention of the preferences after which another was trained (arXiv:1706.08840)."""
    backward_transfer_range: tuple[float, float] | None = None
    """The smallest and the largest of these retentions."""
    backward_transfer_interval: Interval | None = None
    """Student's t over these preferences, 95 %; null with fewer than five of them, where nothing is claimed."""


class VerdictRecord(Record):
    """`verdict.json`, and a preference's entry of `summary.json`."""

    preference: str
    lora_id: str
    run_id: str
    logprob_margin_delta: float | None
    """Nats: the last state's margin minus the baseline's."""
    final_compliance: float | None
    """The last state's `preference_compliance`: mean score on trained prompts, in [0, 1]. It does not decide."""
    capability_ratio: float | None
    """`general_score` of the last state over the baseline's: the four public probes. It does not decide."""
    overall: Overall
    """`unfinished`: fewer steps are recorded than were asked for, or nothing has judged them yet."""
    sentence: str
    """The verdict in words."""
    criteria: dict[str, Criterion]
    """By name, in the order of the table; none where there is nothing to judge."""
    alerts: list[str] = Field(default_factory=list)
    """Collapse alerts with their states."""
    stopped: StopRecord | None = None
    """Why the run ended before its last step; null where it did not."""
    notes: list[str] = Field(default_factory=list)
    """What one should know beside the criteria."""
    steps_recorded: int = 0
    """Steps that it was made of. Where more are recorded by now, it is out of date."""
    num_steps: int = 0
    """Steps asked for."""
    interrupted_steps: list[int] = Field(default_factory=list)
    """Steps of whose feedback it is not known whether it trained."""
    versions: dict[str, int] = Field(default_factory=dict)
    """Metric or prompt set → the version that scored the last state."""
    outcome: Outcome | None = None
    """The conclusion in a word or two; None in files of version 0.1.0."""

    retention: RetentionRecord | None = None
    """Of a sequence; null for a preference alone."""

    control: str = "none"
    """`placebo` or `shuffled` where the feedback was not the preference's: such a run never reads as learned."""

    looks: int = 1
    """How many times a last step was judged: `num_steps` may grow, and each look is a chance to be wrong."""
    corrections: int | None = None
    """Answers that feedback was given on in all steps: the cost to learn. Null where a step does not say it."""

    @property
    def learning(self) -> str:
        """The name of the criterion on what was learned; in a verdict of version 0.1.0, `compliance`; of a sequence,
        that of the preference that was learned least."""
        of_phases = [name for name in self.criteria if name.startswith("learned.")]
        if of_phases:
            return min(of_phases, key=lambda name: self.criteria[name].value or 0.0)
        return "compliance" if "compliance" in self.criteria else "obeyed"


Summary = dict[str, VerdictRecord]
"""`summary.json`: every preference of the run that has an adapter; one that did not finish is `unfinished`."""


# --- is it of the steps that are recorded now? -----------------------------------------------


class MadeOfSteps(Protocol):
    """A result that knows how many steps it was made of."""

    @property
    def steps_recorded(self) -> int: ...


Result = TypeVar("Result", bound=MadeOfSteps)


def current(result: Result | None, recorded: int) -> Result | None:
    """`result`, or None where it was made of other steps than the `recorded` that there are now."""
    return result if result is not None and result.steps_recorded == recorded else None


def judged(verdict: VerdictRecord | None, recorded: int, asked: int) -> VerdictRecord | None:
    """The verdict of a preference that is finished: it is of all recorded steps, and no step is to follow."""
    now = current(verdict, recorded)
    ended = now is not None and (recorded >= asked or now.stopped is not None)
    return now if ended and now is not None and now.overall != "unfinished" else None

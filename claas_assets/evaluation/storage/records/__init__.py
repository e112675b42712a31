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

from claas_assets.evaluation.storage.records.adapter import (
    AdapterRecord,
    AuditedState,
    PhaseRecord,
    Provenance,
    SequenceRecord,
)
from claas_assets.evaluation.storage.records.base import (
    BASELINE_STEP,
    Control,
    Evidence,
    Grade,
    Interval,
    Moment,
    Outcome,
    Overall,
    Record,
    Role,
    Schedule,
    SnapshotScale,
    SnapshotSize,
    Unmeasured,
    moment_of,
)
from claas_assets.evaluation.storage.records.public_scores import CollapseScores, GeneralScores, LogprobMargin
from claas_assets.evaluation.storage.records.snapshot import AnswerCounts, EvalSnapshot
from claas_assets.evaluation.storage.records.stats import (
    CollapseStats,
    ComplianceStats,
    DegenerateStats,
    GeneralStats,
    JudgeAgreement,
    LogprobStats,
    NoiseFloor,
    SnapshotStats,
    UnitStats,
    fold,
)
from claas_assets.evaluation.storage.records.steps import (
    RolloutRecord,
    ScoredStep,
    ScoresRecord,
    StepRecord,
    StopRecord,
    TrainingRecord,
)
from claas_assets.evaluation.storage.records.tables import METRIC_COLUMNS, CollapsePoint, CollapseRecord, MetricTable
from claas_assets.evaluation.storage.records.transcripts import Message, Transcript, TranscriptMetadata
from claas_assets.evaluation.storage.records.verdict import (
    Cell,
    Criterion,
    MatrixRow,
    PreferenceRetention,
    Result,
    RetentionRecord,
    Summary,
    VerdictRecord,
    current,
    judged,
)

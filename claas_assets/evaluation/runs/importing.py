"""Results of the public harness → a run of ours, which viewer, comparison and frames can show.

It holds the fields that both have. What the public harness does not record (answers prompt by prompt, the held-out
prompts, guards) is unavailable, and so its verdict is `inconclusive`: nothing is scored, and nothing is guessed.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from claas_assets.evaluation import foreign_json
from claas_assets.evaluation.config import METRICS, PUBLIC_TOP_LEVEL, Thresholds
from claas_assets.evaluation.errors import NoSuchRun, RunFolderError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.journal import STEPS_FILE
from claas_assets.evaluation.storage.names import is_preference_name
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    CollapseScores,
    EvalSnapshot,
    GeneralScores,
    LogprobMargin,
    Message,
    Moment,
    Provenance,
    RolloutRecord,
    StepRecord,
    TrainingRecord,
    Transcript,
    TranscriptMetadata,
    Unmeasured,
    moment_of,
)
from claas_assets.evaluation.storage.run_folder import BASELINE_FILE, MAX_RECORD_BYTES, METADATA_FILE, RunFolder
from claas_assets.evaluation.storage.stamps import check_regular
from claas_assets.evaluation.storage.stores import Place, exists
from claas_assets.evaluation.verdict.ruling import judge

_NOT_THERE = Unmeasured(kind="unavailable", reason="the public harness does not record it: the run was imported")
_NO_TEXT = Unmeasured(kind="unavailable", reason="the public harness recorded null in place of a text")
_NEVER_RECORDED = (
    "compliance.probe_prompts", "compliance.heldout_prompts", "compliance.over_application", "general.items",
    "degenerate.on_preference", "degenerate.elsewhere", "logprob.delta", "collapse.rep4", "collapse.fixed_text",
    "collapse.fixed_text_words",
)  # fmt: skip


class _Metadata(BaseModel):
    config: dict[str, Any]
    lora_id: str
    preference: str


class _Rollout(BaseModel):
    metric: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any] | None = None


class _Snapshot(BaseModel):
    """`baseline.json`, and `eval` of a step: null where a metric was not asked."""

    logprob_margin: LogprobMargin | None = None
    preference_compliance: float | None = None
    general: GeneralScores | None = None
    collapse: CollapseScores | None = None
    rollouts: list[_Rollout] = Field(default_factory=list)


class _Step(BaseModel):
    preference: str
    step: int
    timestamp: Moment
    feedback_given: Any
    sdpo_metrics: dict[str, Any] | None
    eval: _Snapshot
    prompt_used: str
    response_text: str | None
    timing_s: float
    sub_step_count: int


P = TypeVar("P", bound=BaseModel)


def read_public_results(source: Path, run_id: str) -> list[TrainingRecord]:
    """The preferences of a results folder (or the one whose folder `source` is), as records of the run `run_id`.

    Raises `NoSuchRun`, or `RunFolderError` naming the file and what is wrong in it.
    """
    folders = [source] if (source / METADATA_FILE).exists() else []
    if not folders and not source.is_dir():
        raise NoSuchRun(f"{source}: there is no such folder")
    folders = folders or sorted(folder for folder in source.iterdir() if (folder / METADATA_FILE).exists())
    if not folders:
        raise NoSuchRun(f"{source}: no results of the public harness: no folder in it holds a {METADATA_FILE}")
    return [_training(folder, run_id) for folder in folders]


def write_imported(records: Sequence[TrainingRecord], target: Place) -> None:
    """As a run folder with tables, verdicts and summary. Raises `RunFolderError` where something is there already."""
    if exists(target):
        raise RunFolderError(f"{target} is there already: an import goes into a folder of its own")
    run, summary = RunFolder(target), {}
    for training in records:
        folder, scores = run.preference(training.adapter.preference), training.as_scored()
        folder.write_adapter(training.adapter)
        assert training.baseline is not None  # `_training` refuses results without one
        folder.write_baseline(training.baseline)
        journal = open_journal(folder.path)
        for step in training.steps:
            journal.append(step)
        journal.finish()
        folder.write_scores(scores)
        folder.write_metric_table(results.metric_table(scores))
        folder.write_collapse(results.collapse_record(scores))
        summary[training.adapter.preference] = judge(scores, Thresholds())
        folder.write_verdict(summary[training.adapter.preference])
    run.write_summary(summary)


def _training(folder: Path, run_id: str) -> TrainingRecord:
    metadata = _read(folder / METADATA_FILE, _Metadata)
    if not is_preference_name(metadata.preference):
        raise RunFolderError(
            f"{folder / METADATA_FILE}: preference is {metadata.preference!r}, which is no usable name"
        )
    baseline = _read(folder / BASELINE_FILE, _Snapshot)
    steps = _steps(folder / STEPS_FILE, metadata.preference)
    config = _config(metadata.config, baseline, steps)
    return TrainingRecord(
        adapter=_adapter(metadata, config, steps, run_id, folder),
        baseline=_snapshot(baseline),
        steps=[_step(step) for step in steps],
    )


def _config(public: dict[str, Any], baseline: _Snapshot, steps: Sequence[_Step]) -> dict[str, Any]:
    """The public configuration with our keys: what stands at its top and is of training goes there."""
    known = {key: public[key] for key in PUBLIC_TOP_LEVEL if key in public}
    training = public.get("training")
    asked = public.get("metrics")
    names = (
        [name for name in asked if name in METRICS]
        if isinstance(asked, list)
        else _measured([baseline, *(s.eval for s in steps)])
    )
    wanted = public.get("num_steps")
    kept = {key: value for key, value in public.items() if key not in (*PUBLIC_TOP_LEVEL, "thresholds", "lora")}
    return {
        **kept,
        "training": {**known, **(training if isinstance(training, dict) else {})},
        "metrics": names,
        "num_steps": max(len(steps), wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else 0),
        "snapshot_steps": [],
        **{key: str(public.get(key) or "") for key in ("mode", "base_model")},
    }


def _measured(states: Iterable[_Snapshot]) -> list[str]:
    fields = {
        "logprob": "logprob_margin",
        "compliance": "preference_compliance",
        "general": "general",
        "collapse": "collapse",
    }
    found = list(states)
    return [metric for metric, name in fields.items() if any(getattr(state, name) is not None for state in found)]


def _adapter(
    metadata: _Metadata, config: dict[str, Any], steps: Sequence[_Step], run_id: str, folder: Path
) -> AdapterRecord:
    changed = datetime.fromtimestamp((folder / METADATA_FILE).stat().st_mtime, UTC)
    created = moment_of(steps[0].timestamp) if steps else changed
    # What is installed here did not make these numbers, so nothing of it is recorded beside them.
    made = Provenance(
        created=created.isoformat(timespec="milliseconds"),
        package_version="",
        deployment={"name": "public harness (imported)", "version": ""},
    )
    return AdapterRecord(
        config=config,
        lora_id=metadata.lora_id,
        preference=metadata.preference,
        run_id=run_id,
        training_inputs={key: config[key] for key in ("mode", "base_model", "training")},
        preference_text={
            "name": metadata.preference,
            "feedback_string": _text(steps[0].feedback_given) if steps else "",
        },
        provenance=made,
        caveats=["imported from the public harness: its numbers are as it recorded them, and nothing was scored again"],
        imported=True,
    )


def _snapshot(public: _Snapshot) -> EvalSnapshot:
    there = {name for name in ("logprob_margin", "general", "collapse") if getattr(public, name) is not None}
    missing = [f"{name}.{key}" for name, keys in _FIELDS.items() if name not in there for key in keys]
    missing += [] if public.preference_compliance is not None else ["preference_compliance"]
    return EvalSnapshot(
        logprob_margin=public.logprob_margin,
        preference_compliance=public.preference_compliance,
        general=public.general,
        collapse=public.collapse,
        rollouts=[
            _transcript(index, rollout)
            for index, rollout in enumerate(public.rollouts)
            if any(message.get("content") is not None for message in rollout.messages)
        ],
        unmeasured=dict.fromkeys((*_NEVER_RECORDED, *missing), _NOT_THERE),
    )


_FIELDS = {
    "logprob_margin": ("margin", "margin_delta_from_baseline"),
    "general": ("general_score",),
    "collapse": ("entropy_ratio", "self_rouge_l"),
}


def _transcript(index: int, rollout: _Rollout) -> Transcript:
    """Under a key that no metric scores; what the public harness says of it is kept as `public`."""
    told = [message for message in rollout.messages if message.get("content") is not None]
    messages = [Message(role=str(message.get("role") or "user"), content=str(message["content"])) for message in told]
    key = f"imported/{rollout.metric}/{index}"
    error = None if len(told) == len(rollout.messages) else _NO_TEXT
    metadata = {"key": key, "kind": "generate", "public": rollout.metadata or {}, "error": error}
    return Transcript(metric=rollout.metric, messages=messages, metadata=TranscriptMetadata.model_validate(metadata))


def _step(public: _Step) -> StepRecord:
    answered = public.response_text is not None
    batch = [RolloutRecord(prompt=public.prompt_used, response=public.response_text or "")] if answered else []
    return StepRecord(
        preference=public.preference,
        step=public.step,
        timestamp=public.timestamp,
        feedback_given=_text(public.feedback_given),
        sdpo_metrics=public.sdpo_metrics,
        eval=_snapshot(public.eval),
        prompt_used=public.prompt_used,
        response_text=public.response_text or "",
        timing_s=public.timing_s,
        sub_step_count=public.sub_step_count,
        rollout_batch=batch,
    )


def _text(value: Any) -> str:
    """A text; what else stands there as JSON, so that nothing of it is lost."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _steps(path: Path, preference: str) -> list[_Step]:
    """In order from 0. A torn last line, as a run that was killed leaves it, is refused by its number."""
    if not path.exists():
        return []
    lines = _bytes(path).rstrip(b"\n").split(b"\n")
    steps = [
        _parsed(line, _Step, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line or lines[1:]
    ]
    for number, step in enumerate(steps):
        if step.step != number or step.preference != preference:
            raise RunFolderError(
                f"{path}, line {number + 1}: holds step {step.step} of {step.preference!r}, expected step {number} of "
                f"{preference!r}"
            )
    return steps


def _read(path: Path, kind: type[P]) -> P:
    return _parsed(_bytes(path), kind, str(path))


def _bytes(path: Path) -> bytes:
    if check_regular(path)[1] > MAX_RECORD_BYTES:
        raise RunFolderError(f"{path} is larger than any such file ({MAX_RECORD_BYTES} bytes)")
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}") from error


def _parsed(data: bytes, kind: type[P], where: str) -> P:
    try:
        return kind.model_validate(foreign_json.loads(data.decode("utf-8")))
    except ValueError as error:
        what = words_of(error) if isinstance(error, ValidationError) else error
        raise RunFolderError(f"{where}: not a result of the public harness: {what}") from error

"""The records of a run for its pages: each file read once while it does not change, and what cannot be read said."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.overview import short_error
from claas_assets.evaluation.storage.journal import STEPS_FILE
from claas_assets.evaluation.storage.records import (
    AdapterRecord,
    EvalSnapshot,
    ScoresRecord,
    SequenceRecord,
    StepRecord,
    VerdictRecord,
    current,
)
from claas_assets.evaluation.storage.run_folder import (
    BASELINE_FILE,
    METADATA_FILE,
    SCORES_FILE,
    TABLE_FILE,
    VERDICT_FILE,
    PreferenceFolder,
)
from claas_assets.evaluation.storage.stamps import Stamp, file_stamp

T = TypeVar("T")


@dataclass
class PreferenceRecords:
    """What could be read of one preference. A file that is not there yet is None, and no problem."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    adapter: AdapterRecord | None = None
    verdict: VerdictRecord | None = None
    baseline: EvalSnapshot | None = None
    steps: list[StepRecord] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sequence(self) -> SequenceRecord | None:
        return self.adapter.sequence if self.adapter else None

    @property
    def feedback(self) -> str:
        """What the user says: of a sequence, phase by phase; of a control run, what was said in its place."""
        if self.adapter is None:
            return ""
        if self.sequence is None:
            text = self.adapter.preference_text.get("feedback_string")
            given = (self.adapter.control_feedback or {}).get(self.name, text)
            return str(given or "not recorded")
        files = self.adapter.preference_text.get("preferences", {})
        given = self.adapter.control_feedback or {n: file.get("feedback_string") for n, file in files.items()}
        return "; then ".join(
            f"{p.steps} steps of {p.preference}: {given.get(p.preference)}" for p in self.sequence.phases
        )

    def of(self, preference: str) -> "PreferenceRecords":
        """Of a sequence: the same states as one of its preferences has them."""
        baseline = self.baseline.of(preference) if self.baseline else None
        steps = [step.model_copy(update={"eval": step.eval.of(preference)}) for step in self.steps]
        return replace(self, baseline=baseline, steps=steps)

    @property
    def num_steps(self) -> int:
        """Steps that were asked for: at least those recorded."""
        return max(len(self.steps), self.adapter.num_steps if self.adapter else 0)

    @property
    def scores(self) -> ScoresRecord | None:
        """As they were recorded with each state; None without an adapter."""
        return ScoresRecord.of(self.adapter, self.baseline, self.steps) if self.adapter else None

    def state(self, name: str) -> EvalSnapshot | None:
        """The snapshot of `baseline` or of a step's number."""
        if name == "baseline":
            return self.baseline
        step = self.step(name)
        return step.eval if step else None

    def step(self, name: str) -> StepRecord | None:
        return next((step for step in self.steps if str(step.step) == name), None)


def load_head(folder: Path) -> PreferenceRecords:
    """The small files: the adapter and the verdict."""
    records = PreferenceRecords(folder)
    records.adapter = _read(records, METADATA_FILE, _adapter)
    records.verdict = _read(records, VERDICT_FILE, _verdict)
    if records.adapter is None and not records.problems:
        records.problems.append(f"{METADATA_FILE} is missing: the evaluation did not come to make an adapter")
    return records


def load_preference(folder: Path) -> PreferenceRecords:
    """All files of a preference, with every transcript."""
    records = load_head(folder)
    records.baseline = _read(records, BASELINE_FILE, _baseline)
    records.steps = _read(records, STEPS_FILE, _steps) or []
    return records


Reason = tuple[str, str, int]
"""(quantity, reason, feedback steps before it) of a number that is missing."""


def load_reasons(folder: Path) -> list[Reason] | None:
    """Of all that was scored and has no number, in `scores.json` or, in a run of 0.1.0, `metrics.csv`; None
    without either. Raises `RunFolderError` where it cannot be read."""
    recorded = PreferenceFolder(folder, guarded=True).steps_recorded()
    stamp = file_stamp(folder / SCORES_FILE)
    scores = None if stamp is None else current(_scores(folder, stamp), recorded)
    if scores is not None:
        return reasons_in(scores)
    if (stamp := file_stamp(folder / TABLE_FILE)) is None:
        return None
    table = _table(folder, stamp)
    return [(row["quantity"], row["reason"], row["step"] + 1) for row in table.rows if row["reason"]] if table else None


def reasons_in(scores: ScoresRecord) -> list[Reason]:
    return [
        (name, f"{missing.kind}: {missing.reason}", step + 1)
        for step, snapshot in scores.states
        for name, missing in snapshot.unmeasured.items()
    ]


def stamps_of(folder: Path) -> tuple[Stamp | None, ...]:
    """What pictures of this preference are made from."""
    return tuple(file_stamp(folder / name) for name in (METADATA_FILE, BASELINE_FILE, STEPS_FILE, VERDICT_FILE))


def _read(records: PreferenceRecords, file: str, read: Callable[[Path, Stamp], T]) -> T | None:
    stamp = file_stamp(records.folder / file)
    if stamp is None:
        return None
    try:
        return read(records.folder, stamp)
    except (RunFolderError, ValueError, RecursionError) as error:  # bytes that are no text; brackets without end
        text = short_error(error, records.folder)
        records.problems.append(text if file in text else f"{file}: {text}")
        return None


# --- each file once, while its stamp is the same ------------------------------------------------


def _once(read: Callable[[PreferenceFolder], T], kept: int) -> Callable[[Path, Stamp], T]:
    """`read` of a folder and the stamp of the file; the last `kept` readings are remembered."""

    @lru_cache(maxsize=kept)
    def cached(folder: Path, stamp: Stamp) -> T:
        return read(PreferenceFolder(folder, guarded=True))

    return cached


def _usable_adapter(folder: PreferenceFolder) -> AdapterRecord:
    adapter = folder.adapter()
    _ = adapter.num_steps, adapter.metrics  # they raise where the configuration does not say them
    return adapter


_adapter, _verdict = _once(_usable_adapter, 256), _once(PreferenceFolder.verdict, 256)
_scores, _table = _once(PreferenceFolder.scores, 64), _once(PreferenceFolder.metric_table, 64)
# A preference of 20 steps takes some 15 MB as records: room for two runs of three.
_baseline, _steps = _once(PreferenceFolder.baseline, 6), _once(PreferenceFolder.steps, 6)

"""A run as a row of the list: its state in words, its verdicts, and what is broken, from its small files."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.mistakes import words_of
from claas_assets.evaluation.storage.journal import LOCK_FILE, STEPS_FILE
from claas_assets.evaluation.storage.recorded_config import flat
from claas_assets.evaluation.storage.records import Criterion, Interval, Overall, VerdictRecord, judged, moment_of
from claas_assets.evaluation.storage.run_folder import BASELINE_FILE, METADATA_FILE, VERDICT_FILE, PreferenceFolder
from claas_assets.evaluation.storage.stamps import Stamp
from claas_assets.evaluation.storage.stores import Place

RunState = Literal["running", "interrupted", "broken", "complete", "waiting"]
HOLDER_FILE = f"{LOCK_FILE}.holder"
WATCHED = (METADATA_FILE, BASELINE_FILE, VERDICT_FILE, STEPS_FILE, HOLDER_FILE)
"""The files of a preference that change what a list shows of it."""
_LONGEST_SETTING = 80  # characters


@dataclass(frozen=True, slots=True)
class PreferenceOverview:
    """`baseline`, `change` and `interval` are those of the verdict's criterion of learning; None without one.

    `words` say how far it came ("step 3 of 20"), or what is wrong.
    """

    name: str
    state: RunState
    words: str
    overall: Overall | None = None
    outcome: str | None = None
    baseline: float | None = None
    value: float | None = None
    change: float | None = None
    interval: Interval | None = None
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A row of the list. `created` is None where no file records it; then `age` is the folder's own time.

    `sweep_id` is that of its first preference; None where it is part of no sweep.
    """

    run_id: str
    created: str | None
    age: float  # seconds since the epoch: the order of the list
    deployment: str
    mode: str
    model: str
    state: RunState
    words: str
    preferences: tuple[PreferenceOverview, ...]
    sweep_id: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    """Dotted key and value of its first preference's configuration, as text."""


class _Config(BaseModel):
    """What a list shows of a configuration: a `metadata.json` may hold any object as one."""

    num_steps: int = Field(ge=0, strict=True)
    mode: str = ""
    base_model: str = ""
    preferences: list[str] = Field(default_factory=list)
    sweep_id: str | None = None


@dataclass(frozen=True)
class _Begun:
    """What the adapter's record says of its run."""

    created: datetime
    deployment: str
    config: _Config
    settings: tuple[tuple[str, str], ...]
    num_steps: int
    """Feedback steps asked for."""


def make_overview(folder: Path, stamps: dict[str, tuple[Stamp | None, ...]], alive: dict[str, bool]) -> RunOverview:
    """`stamps` of the files `WATCHED`, and whether somebody trains there, by preference."""
    begun = {name: _begun_or_reason(PreferenceFolder(folder / name, guarded=True)) for name in stamps}
    read = [b for b in begun.values() if isinstance(b, _Begun)]
    rows = [_preference(folder / name, stamps[name], begun[name], alive[name]) for name in stamps]
    if any(alive.values()):
        expected = {name for b in read for name in b.config.preferences} - set(stamps)
        rows += [PreferenceOverview(name, "waiting", "not started yet") for name in sorted(expected)]
    created = min((b.created for b in read), default=None)
    first = read[0] if read else None
    state, words = _state_of(rows)
    return RunOverview(
        run_id=folder.name,
        created=created.isoformat(timespec="seconds") if created else None,
        age=created.timestamp() if created else _folder_time(folder),
        deployment=first.deployment if first else "",
        mode=first.config.mode if first else "",
        model=first.config.base_model if first else "",
        state=state,
        words=words,
        preferences=tuple(rows),
        sweep_id=first.config.sweep_id if first else _sweep_of_broken(folder, sorted(stamps)),
        settings=first.settings if first else (),
    )


def _sweep_of_broken(folder: Path, names: list[str]) -> str | None:
    written = (PreferenceFolder(folder / name, guarded=True).written_sweep() for name in names)
    return next((sweep for sweep in written if sweep is not None), None)


def _begun_or_reason(folder: PreferenceFolder) -> _Begun | str:
    try:
        adapter = folder.adapter()
        created = moment_of(adapter.provenance.created)
        deployment = str(adapter.provenance.deployment.get("name") or "")
        settings = tuple((key, str(value)[:_LONGEST_SETTING]) for key, value in flat(adapter.config).items())
        config = _Config.model_validate(adapter.config)
        asked = config.num_steps if adapter.sequence is None else adapter.sequence.num_steps
        return _Begun(created, deployment, config, settings, asked)
    except RunFolderError as error:
        return short_error(error, folder.path)
    except ValidationError as error:
        return f"{METADATA_FILE} cannot be read: config.{words_of(error)}"


def _preference(path: Path, stamps: tuple[Stamp | None, ...], begun: _Begun | str, alive: bool) -> PreferenceOverview:
    folder, stamp_of = PreferenceFolder(path, guarded=True), dict(zip(WATCHED, stamps, strict=True))
    if isinstance(begun, str):
        starting = alive and stamp_of[METADATA_FILE] is None
        return PreferenceOverview(path.name, "running" if starting else "broken", "starting" if starting else begun)
    try:
        verdict = folder.verdict()
        recorded = _steps_recorded(folder, stamp_of[STEPS_FILE], stamp_of[VERDICT_FILE], verdict)
    except RunFolderError as error:
        return PreferenceOverview(path.name, "broken", short_error(error, folder.path))
    asked = max(begun.num_steps, recorded)
    ruled = judged(verdict, recorded, asked)
    has_baseline = bool(stamp_of[BASELINE_FILE])
    state, words = _progress(recorded, asked, has_baseline=has_baseline, alive=alive, judged=ruled is not None)
    if ruled is None:
        return PreferenceOverview(path.name, state, words)
    shown = ruled.criteria.get(ruled.learning) or Criterion(value=None, grade="unavailable")
    return PreferenceOverview(
        name=path.name, state=state, words=words, overall=ruled.overall,
        outcome=ruled.outcome or ruled.overall, baseline=shown.baseline,
        value=shown.value, change=shown.change, interval=shown.interval, alerts=tuple(ruled.alerts),
    )  # fmt: skip


def _progress(recorded: int, asked: int, *, has_baseline: bool, alive: bool, judged: bool) -> tuple[RunState, str]:
    if alive:
        step = f"step {recorded + 1} of {asked}" if recorded < asked else f"all {asked} steps are recorded"
        return "running", step if has_baseline else "baseline"
    if judged:
        return "complete", f"{recorded} of {asked} steps"
    if not has_baseline:
        return "interrupted", "before the baseline was whole"
    if recorded < asked:
        return "interrupted", f"after {recorded} of {asked} steps"
    return "interrupted", f"all {asked} steps are recorded, no verdict for them"


def _steps_recorded(
    folder: PreferenceFolder, steps: Stamp | None, ruled: Stamp | None, verdict: VerdictRecord | None
) -> int:
    """From the verdict, where it is younger than the steps: then their file is not opened."""
    if steps is None:
        return 0
    if verdict is not None and ruled is not None and ruled >= steps:
        return verdict.steps_recorded
    return folder.steps_recorded()


def _state_of(rows: list[PreferenceOverview]) -> tuple[RunState, str]:
    """The state that most needs to be seen, and the words of those that are in it."""
    order: tuple[RunState, ...] = ("running", "broken", "interrupted")
    for state in order:
        rows_of_it = [row for row in rows if row.state == state]
        if rows_of_it:
            return state, "; ".join(f"{row.name}: {row.words}" for row in rows_of_it)
    return "complete", f"{len(rows)} preference{'s'[: len(rows) > 1]}"


def _folder_time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def short_error(error: Exception, *folders: Place, limit: int = 300) -> str:
    """An error as one short line (some quote their input over many), with file names for paths into `folders`."""
    text = " ".join(str(error).split())
    text = text if len(text) <= limit else f"{text[:limit]} …"
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text

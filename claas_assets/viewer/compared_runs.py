"""Whole runs for a comparison: read once while they do not change, and only what it needs is kept of them."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.catalog import preference_names
from claas_assets.evaluation.runs.frames import LoadedRun, load_run
from claas_assets.evaluation.runs.loading import PreferenceRun, preference_folders
from claas_assets.evaluation.runs.overview import short_error
from claas_assets.evaluation.runs.rescoring import scored_alike
from claas_assets.evaluation.storage.recorded_config import flat
from claas_assets.evaluation.storage.records import EvalSnapshot
from claas_assets.evaluation.storage.run_folder import PREFERENCE_FILES, TABLE_FILE
from claas_assets.evaluation.storage.stamps import Stamp, check_regular, file_stamp
from claas_assets.viewer.loading import stamps_of

_CONFIG_TYPES = {"seed": int, "base_model": str, "sweep_id": str}


LARGEST = 1e300  # of a setting: an axis has to hold it


def read_runs(folders: Iterable[Path]) -> tuple[list[LoadedRun], dict[str, str]]:
    """The runs in these folders; then run id → why a run is not among them."""
    runs, broken = [], {}
    for folder in folders:
        try:
            runs.append(_slim_run(folder, _stamps(folder)))
        except (RunFolderError, OSError, RecursionError) as error:  # brackets without end
            broken[folder.name] = short_error(error, folder, folder.parent)
    return runs, broken


def _stamps(folder: Path) -> tuple[tuple[str, tuple[Stamp | None, ...]], ...]:
    """What a reading of this run is valid for. Raises `RunFolderError` for what a reader of its files would follow."""
    names = preference_names(folder)
    if linked := {path.name for path in preference_folders(folder)} - set(names):
        raise RunFolderError(f"{', '.join(sorted(linked))}: a link to a folder (links are not followed)")
    for name in names:
        for file in PREFERENCE_FILES:
            if file_stamp(folder / name / file) is not None:
                check_regular(folder / name / file)
    return tuple((name, (*stamps_of(folder / name), file_stamp(folder / name / TABLE_FILE))) for name in names)


@lru_cache(maxsize=256)  # a slim run of three preferences takes some 0.5 MB, a whole one 45
def _slim_run(folder: Path, stamps: tuple[tuple[str, tuple[Stamp | None, ...]], ...]) -> LoadedRun:
    run = load_run(folder)
    for name, preference in run.preferences.items():
        _check_config(name, preference)
    # One of 0.1.0 is scored afresh.
    scored = {name: scored_alike([preference])[0][0] for name, preference in run.preferences.items()}
    slim = {name: _slim(preference) for name, preference in scored.items()}
    return LoadedRun(folder.name, Path(folder.name), slim)  # where it is on this machine is nobody's business


def _check_config(name: str, run: PreferenceRun) -> None:
    """What `compare` and `group_seeds` take for granted: a metadata.json holds any object as its configuration."""
    for key, kind in _CONFIG_TYPES.items():
        value = run.adapter.config.get(key)
        if value is not None and not isinstance(value, kind):
            raise RunFolderError(f"{name}/metadata.json: config.{key} is not a {kind.__name__}")
    for key, value in flat(run.adapter.config).items():
        if isinstance(value, int | float) and not abs(value) < LARGEST:
            raise RunFolderError(
                f"{name}/metadata.json: config.{key} is {str(value)[:40]}, which is not a usable number"
            )


def _slim(run: PreferenceRun) -> PreferenceRun:
    """The baseline's scores, and the last state with its answers to compliance prompts: no comparison reads more."""
    baseline = _with_answers(run.baseline, keep=not run.steps) if run.baseline is not None else None
    last = [step.model_copy(update={"eval": _with_answers(step.eval), "rollout_batch": []}) for step in run.steps[-1:]]
    return run.model_copy(update={"baseline": baseline, "steps": last, "table": None})


def _with_answers(snapshot: EvalSnapshot, keep: bool = True) -> EvalSnapshot:
    kept = [t for t in snapshot.rollouts if keep and t.key.startswith("compliance/")]
    return snapshot.model_copy(update={"rollouts": kept})

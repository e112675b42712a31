"""Read and write the files of a run folder, by the name of what they hold."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.addresses import is_address
from claas_assets.evaluation.storage.atomic import to_json, write_whole
from claas_assets.evaluation.storage.object_journal import open_journal
from claas_assets.evaluation.storage.records import (
    METRIC_COLUMNS,
    AdapterRecord,
    CollapseRecord,
    EvalSnapshot,
    MetricTable,
    Record,
    StepsHandle,
    Summary,
    VerdictRecord,
)
from claas_assets.evaluation.storage.stores import (
    Place,
    exists,
    fetch,
    files_in,
    folders_in,
    place_at,
    read_text,
    remove,
)

_RECORDS: dict[str, type[Record]] = {
    "adapter": AdapterRecord,
    "baseline": EvalSnapshot,
    "collapse_snapshots": CollapseRecord,
    "verdict": VerdictRecord,
}


def write_asset(name: str, path: Place, value: Any) -> None:
    """Write the record of asset `name` whole. `plots` is a mapping of file name to bytes."""
    if name in _RECORDS:
        write_whole(path, to_json(value.model_dump(mode="json")))
    elif name == "metric_table":
        write_whole(path, _as_csv(value))
    elif name == "summary":
        write_whole(path, to_json({key: entry.model_dump(mode="json") for key, entry in value.items()}))
    elif name == "plots":
        _write_plots(path, value)
    elif name == "report":
        write_whole(path, value.encode("utf-8", "replace"))
    else:
        raise RunFolderError(f"{name} has no file that is written as a whole")


def read_asset(name: str, path: Place) -> Any:
    """The record of asset `name`. Raises `RunFolderError` where the file is not what it should be."""
    if name == "training_steps":
        return read_steps(path.parent)
    if name == "plots":
        return {picture.name: fetch(picture) for picture in _pictures(path)}
    text = _text(path)
    if name == "report":
        return text
    try:
        if name == "metric_table":
            return _from_csv(path, text)
        if name == "summary":
            return {key: VerdictRecord.model_validate(entry) for key, entry in json.loads(text).items()}
        return _RECORDS[name].model_validate_json(text)
    except (ValueError, ValidationError, AttributeError) as error:
        raise RunFolderError(f"{path}: not a {name} of this version: {error}") from error


def has_asset(name: str, path: Place) -> bool:
    """Whether asset `name` is at `path`; of steps, whether any is recorded."""
    return open_journal(path.parent).recorded() if name == "training_steps" else exists(path)


def read_steps(folder: Place) -> StepsHandle:
    """The steps of a preference's folder: none where it only measures, or has not trained yet."""
    adapter: AdapterRecord = read_asset("adapter", folder / "metadata.json")
    return StepsHandle(
        preference=adapter.preference,
        lora_id=adapter.lora_id,
        num_steps=int(adapter.config["num_steps"]),
        steps=open_journal(folder).read(),
    )


def holders_in(run_folder: Place) -> list[Any]:
    """The folders of the preferences that have an adapter there, by name."""
    return [folder for folder in folders_in(run_folder) if exists(folder / "metadata.json")]


def find_run(named: str, results_dir: Place) -> Place:
    """The run folder that `named` is: a folder, or an id below `results_dir`. Raises `RunFolderError`."""
    for folder in [place_at(named), *([] if is_address(named) else [results_dir / named])]:
        if holders_in(folder):
            return folder
    raise RunFolderError(
        f"{named}: no run folder, neither by itself nor below {results_dir}: none has an adapter in it"
    )


def read_summary(run_folder: Place) -> Summary:
    summary: Summary = read_asset("summary", run_folder / "summary.json")
    return summary


def _text(path: Place) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise RunFolderError(f"{path}: not readable: {error.strerror or error}") from error


def _as_csv(table: MetricTable) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=METRIC_COLUMNS, lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    writer.writerows(table.rows)
    return buffer.getvalue()


def _from_csv(path: Place, text: str) -> MetricTable:
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        for column in ("value", "lower", "upper"):
            row[column] = _number(row[column])
        for column in ("step", "n", "missing"):
            row[column] = int(row[column]) if row[column] else None
    return MetricTable(run_id=path.parents[1].name, preference=path.parent.name, rows=rows)


def _number(cell: str) -> float | bool | None:
    if cell in ("True", "False"):  # `unit` is bool
        return cell == "True"
    return float(cell) if cell else None


def _pictures(folder: Place) -> list[Any]:
    return [file for file in files_in(folder) if file.name.endswith(".png")]


def _write_plots(folder: Place, plots: Mapping[str, bytes]) -> None:
    for name, picture in plots.items():
        write_whole(folder / name, picture)
    for old in _pictures(folder):
        if old.name not in plots:
            remove(old)  # a figure that this run no longer draws would be taken for a current one

"""What an asset declares it reads, it reads; what it reads it declares: watched at the files of a run folder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from claas_assets.definitions import build_definitions
from claas_assets.defs.checks import CHECKS
from claas_assets.defs.io_managers import LOADS
from claas_assets.defs.run_folder import ASSET_FILES
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.run_folder import RunFolder
from tests.synthetic.example_copies import EXAMPLE

EDGES = {
    "adapter": set(),
    "baseline": {"adapter"},
    "training_steps": {"baseline"},
    "scores": {"training_steps", "preference_file"},
    "metric_table": {"scores"},
    "collapse_snapshots": {"scores"},
    "verdict": {"scores"},
    "summary": {"verdict"},
    "plots": {"summary"},
    "report": {"summary"},
}
PAGE = Path(__file__).parents[2] / "docs" / "dagster.md"
FILE_OF = {name: asset for asset, name in ASSET_FILES.items()}
_WATCHED: list[tuple[Path, set[str]]] = []


def _hook(event: str, arguments: tuple) -> None:
    if event == "open" and _WATCHED and isinstance(arguments[0], str | Path) and arguments[1] in ("r", "rb"):
        folder, seen = _WATCHED[-1]
        path = Path(arguments[0])
        if path.is_relative_to(folder) and path.name in FILE_OF:
            seen.add(FILE_OF[path.name])


sys.addaudithook(_hook)  # cannot be taken away again: it does nothing while nobody watches


@contextmanager
def files_read(folder: Path) -> Iterator[set[str]]:
    """The assets whose files below `folder` this process opens for reading."""
    _WATCHED.append((folder, set()))
    try:
        yield _WATCHED[-1][1]
    finally:
        _WATCHED.pop()


@cache
def declared() -> dict[str, set[str]]:
    graph = build_definitions(EvalConfig()).resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }


@pytest.mark.parametrize("asset", [name for name in EDGES if name not in ("adapter", "baseline")])
def test_an_asset_reads_the_files_of_its_inputs_and_no_others(finished, asset):
    parents = declared()[asset] - {"preference_file"}
    allowed = parents | {carried for parent in parents for carried in LOADS.get(parent, ())}
    partition = None if asset in ("summary", "plots", "report") else "identity"
    with files_read(finished.folder) as seen:
        assert finished.materialize(asset, partition=partition).success
    seen.discard("adapter")  # which folder is the run's is asked of metadata.json
    seen.discard(asset)
    assert seen <= allowed, "it reads what it does not declare"
    assert parents - {"summary"} <= seen or (asset in ("plots", "report") and "scores" in seen), (
        "it declares what it does not read"
    )


def test_the_arrows_of_the_graph_are_these_and_none_is_implied_by_a_longer_way():
    assert declared() == EDGES
    ways = {name: EDGES[name] - {"preference_file"} for name in EDGES}

    def above(name: str) -> set[str]:
        return ways[name].union(*map(above, ways[name]))

    assert not any(ways[asset] & above(parent) for asset in ways for parent in ways[asset])


def test_a_preference_without_scores_gets_them_where_something_needs_them_and_the_verdicts_stay(evaluation):
    made = evaluation()
    folder = made.root / "evals" / "old"
    shutil.copytree(EXAMPLE, folder)
    (folder / "identity" / "scores.json").unlink()
    verdicts = {path: path.read_bytes() for path in folder.glob("*/verdict.json")}
    summary = RunFolder(folder).summary()
    assert len(verdicts) == 3
    assert made.materialize("summary", run_id="old").success
    assert RunFolder(folder).summary() == summary
    assert made.materialize("plots", run_id="old").success
    assert {path.parent.name for path in folder.glob("*/scores.json")} == {path.parent.name for path in verdicts}
    assert {path: path.read_bytes() for path in verdicts} == verdicts


def test_the_page_about_dagster_names_the_jobs_the_checks_and_what_starts_by_itself():
    page = PAGE.read_text(encoding="utf-8")
    jobs, started = (re.findall(r"^\| (.+?) \|", table, re.M)[1:] for table in re.findall(r"(?:^\|.*\n)+", page, re.M))
    repository = build_definitions(EvalConfig()).get_repository_def()
    named = [job.name for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert sorted(_code(jobs)) == sorted(named)
    ours = [sensor.name for sensor in repository.sensor_defs if sensor.name != "default_automation_condition_sensor"]
    assert sorted(_code(started)) == sorted([*ours, *(schedule.name for schedule in repository.schedule_defs)])
    checked = next(line for line in page.splitlines() if line.startswith("Every materialization is checked"))
    assert _code([checked]) == [name for _, name, _, _ in CHECKS]


def _code(texts: list[str]) -> list[str]:
    return [name for text in texts for name in re.findall(r"`(\w+)`", text)]

"""A run folder that somebody broke, or that a hostile deployment wrote, is shown as broken, wherever runs are read."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.catalog import list_runs
from claas_assets.evaluation.runs.frames import load_run, load_runs
from claas_assets.evaluation.runs.retention import read_runs
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.viewer.app import build_app
from claas_assets.viewer.report import render_report
from tests.quick_pictures import quick_pictures
from tests.synthetic.runs import made_run, write_run

EXAMPLE = Path(__file__).parents[2] / "data" / "example"
HUGE, INFINITE, HALF = 10**400, "<1e999>", "\ud800"
PYDANTIC = ("Input should be", "Field required", "Extra inputs", "Unable to parse", "validation error for")

METADATA, BASELINE, STEPS, VERDICT = "metadata.json", "baseline.json", "steps.jsonl", "verdict.json"
BROKEN: list[tuple[str, str, Any]] = [
    *[
        (METADATA, "provenance.created", value)
        for value in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "", "now", None, 5, HUGE)
    ],
    *[(METADATA, "config.num_steps", value) for value in ("x", None, -1, True, INFINITE, HUGE)],
    *[(METADATA, f"config.{name}", 5) for name in ("thresholds", "training", "lora", "preferences")],
    *[(METADATA, "config.seed", value) for value in ("x", [1])],
    *[(METADATA, f"config.{name}", {"a": 1}) for name in ("sweep_id", "base_model", "mode")],
    *[(METADATA, name, 5) for name in ("config", "provenance", "lora_id", "preference_text")],
    (STEPS, "sdpo_metrics.grad_norm", HUGE),
    (STEPS, "sdpo_metrics.grad_norm", INFINITE),
    (STEPS, "feedback_calls", [{"grad_norm": HUGE}]),
    (STEPS, "preference", "foreign"),
    (STEPS, "timestamp", 5),
    *[(STEPS, name, value) for name in ("step", "sub_step_count", "updates_counted") for value in (HUGE, "x", 1.5)],
    *[(STEPS, name, HUGE) for name in ("timing_s", "timings.feedback", "eval.preference_compliance")],
    *[(STEPS, f"eval.logprob_margin.{name}", INFINITE) for name in ("margin", "margin_delta_from_baseline")],
    (BASELINE, "collapse.mean_entropy", "x"),
    (STEPS, "eval.stats", 5),
    (STEPS, "eval.versions.compliance", HUGE),
    (STEPS, "eval.rollouts", [{"metric": "logprob", "messages": [], "metadata": {"key": "a", "kind": "score"}}]),
    (BASELINE, "", {}),
    (BASELINE, "", []),
    (BASELINE, "logprob_margin.margin", INFINITE),
    *[(VERDICT, name, value) for name in ("steps_recorded", "num_steps") for value in (HUGE, "x")],
    (VERDICT, "criteria.compliance", 5),
    (VERDICT, "logprob_margin_delta", INFINITE),
]
UNHARMED = [(STEPS, "sdpo_metrics.note", HALF), (METADATA, "config.sweep_id", HALF), (STEPS, "engine.note", [1])]


def break_it(folder: Path, file: str, key: str, value: Any) -> None:
    """Put `value` at the dotted key; in steps.jsonl, of the second line."""
    lines = (folder / file).read_text().splitlines() if file == STEPS else [(folder / file).read_text()]
    at = len(lines) > 1
    data = value
    if key:
        data = place = json.loads(lines[at])
        *parents, last = key.split(".")
        for parent in parents:
            place[parent] = place.get(parent) or {}
            place = place[parent]
        place[last] = value
    lines[at] = json.dumps(data).replace(f'"{INFINITE}"', "1e999")
    (folder / file).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A good run, and one to break: small ones, since each case reads both five times and more."""
    folder = tmp_path_factory.mktemp("results") / "evals"
    for run in ("good", "broken"):
        write_run(folder, made_run(run))
    assert {run.state for run in list_runs(folder)} == {"complete"}, "what is to be broken is whole"
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_pictures(monkeypatch)


@pytest.fixture(scope="module")
def client(results) -> TestClient:
    return TestClient(build_app(results), base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def broken(request, results) -> Path:
    """The run with one thing broken, whole again at the end."""
    folder = results / "broken" / "identity"
    file, key, value = request.param
    kept = (folder / file).read_bytes()
    break_it(folder, file, key, value)
    yield results / "broken"
    (folder / file).write_bytes(kept)


def words(text: str) -> list[str]:
    return [word for word in PYDANTIC if word in text]


def named(case: tuple[str, str, Any]) -> str:
    return f"{case[0]}-{case[1]}-{ascii(case[2]).replace(str(HUGE), '10**400')[:40]}"


@pytest.mark.parametrize("broken", BROKEN, ids=named, indirect=True)
def test_the_list_and_its_pages_are_there_and_say_what_is_broken(broken, client):
    pages = {path: client.get(path) for path in ("/", "/runs/broken", "/compare?run=broken&run=good")}
    assert [path for path, page in pages.items() if page.status_code >= 500 and "cannot be read" not in page.text] == []
    assert pages["/"].status_code == pages["/runs/broken"].status_code == 200
    assert "good" in pages["/"].text
    assert [found for page in pages.values() for found in words(page.text)] == []


@pytest.mark.filterwarnings("ignore:run broken is left out")
@pytest.mark.parametrize("broken", BROKEN, ids=named, indirect=True)
def test_whoever_reads_the_run_is_told_the_file_in_words(broken, results):
    told = []
    for read in (load_run, render_report):
        try:
            read(broken)
        except RunFolderError as error:
            told.append(str(error))
    listed = next(run for run in list_runs(results) if run.run_id == "broken")
    assert told or listed.state == "broken"
    assert [found for text in (*told, listed.words) for found in words(text)] == []
    assert "good" in {run.run_id for run in load_runs(results)}
    assert "good" in {run.path.name for run in read_runs(results)[0]}


@pytest.mark.parametrize("broken", UNHARMED, ids=named, indirect=True)
def test_what_can_be_shown_is_shown(broken, client):
    for path in ("/", "/runs/broken", "/compare?run=broken&run=good"):
        assert client.get(path).status_code == 200
    load_run(broken)


@pytest.mark.parametrize(
    ("column", "cell"), [("value", "1e400"), ("value", "x"), ("step", "9" * 400), ("n", "9" * 5000), ("upper", "nan")]
)
def test_a_table_with_a_cell_that_is_no_number_is_refused_with_the_cell(tmp_path, column, cell):
    shutil.copytree(EXAMPLE / "concise", tmp_path / "concise")
    table = tmp_path / "concise" / "metrics.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    rows[3][column] = cell
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    table.write_text(out.getvalue())
    with pytest.raises(RunFolderError, match=f"metrics.csv.*{cell[:30]}"):
        PreferenceFolder(tmp_path / "concise").metric_table()

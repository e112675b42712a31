"""A pipe that nobody reads, a full disk, a poor terminal, a notebook's shell: one clear line, and the result stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import namedtuple

import pytest
from sqlalchemy.exc import OperationalError

from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.graph.conftest import FEW, prepare


@pytest.fixture
def small(fake, tmp_path):
    """Arguments of an evaluation of a second, and its Dagster home."""
    prepare(tmp_path, FEW)
    return [
        "preferences=[identity]", f"claas_url={fake('embedded').url}", "num_steps=1", "batch_size=1",
        "metrics=[logprob]", f"output_dir={tmp_path}/evals/small", f"preferences_dir={tmp_path}/preferences",
    ]  # fmt: skip


def printing(code: str, stdout: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that prints through our door."""
    door = "from claas_assets.cli.foreign_text import unbreakable_output; unbreakable_output(); import sys\n"
    return subprocess.run(
        [sys.executable, "-c", door + code], stdout=stdout, stderr=subprocess.PIPE, timeout=60,
        env={**os.environ, **environment}, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip


MUCH = "for _ in range(9): print('x' * 100_000, flush=True)\nprint('worked on', file=sys.stderr)"


def test_work_goes_on_where_nobody_reads_its_output_any_more():
    reads, writes = os.pipe()
    os.close(reads)  # `| head`, when it has its lines
    done = printing(MUCH, writes)
    os.close(writes)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "claas-eval: the output can no longer be written to (Broken pipe); the work goes on", "worked on",
    ]  # fmt: skip


def test_work_goes_on_where_the_disk_behind_its_output_is_full():
    with open("/dev/full", "w") as full:
        done = printing(MUCH, full.fileno())
    assert (done.returncode, done.stderr.count("No space left"), "worked on" in done.stderr) == (0, 1, True)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_cannot_show_a_character_shows_another(encoding):
    code = "from rich.console import Console; Console().print('│ \u2013 🙂 ends')"
    done = printing(code, subprocess.PIPE, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("? ends\n")


def test_pictures_are_drawn_whatever_a_notebook_left_in_the_environment():
    code = "import claas_assets.evaluation.figures.margins, claas_assets.evaluation.comparison.dose_response"
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_plot_that_fails_takes_no_verdict_with_it(claas_eval, small, tmp_path, monkeypatch):
    def draw(*_: object) -> None:
        raise RuntimeError("no canvas")

    monkeypatch.setattr("claas_assets.evaluation.figures.draw", draw)
    done = claas_eval(*small, DAGSTER_HOME=f"{tmp_path}/home", COLUMNS="300")
    assert done.returncode == 0, done.stderr
    assert "no plots, no report: no canvas" in done.stdout
    assert "identity: " in done.stdout.split("no canvas")[1]
    assert json.loads((tmp_path / "evals/small/summary.json").read_text()).keys() == {"identity"}


def test_a_dagster_home_without_room_is_said_before_anything_is_sent(claas_eval, small, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 10**6, 700 * 1024)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    done = claas_eval(*small, DAGSTER_HOME=f"{tmp_path}/home")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [word for word in ("DAGSTER_HOME", "0.7 MiB", "room") if word not in done.stderr] == []
    assert not (tmp_path / "evals").exists()


def test_a_dagster_home_that_fills_up_is_one_line_and_loses_no_step(claas_eval, small, tmp_path, monkeypatch):
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    from claas_assets.defs import training

    trained, stored = training.run_training, SqliteEventLogStorage.store_event

    def train_and_fill(*arguments: object) -> int:
        done = trained(*arguments)
        monkeypatch.setattr(SqliteEventLogStorage, "store_event", full)
        return done

    def full(*_: object) -> None:
        raise OperationalError("INSERT INTO event_logs", {}, Exception("database or disk is full"))

    monkeypatch.setattr(training, "run_training", train_and_fill)
    done = claas_eval(*small, DAGSTER_HOME=f"{tmp_path}/home")
    monkeypatch.setattr(SqliteEventLogStorage, "store_event", stored)
    monkeypatch.setattr(training, "run_training", trained)
    assert done.returncode == 1, done.stderr
    assert "database or disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "INSERT INTO" not in done.stderr.partition("claas-eval:")[2]  # what Dagster itself says stands before
    assert len(PreferenceFolder(tmp_path / "evals/small/identity").steps()) == 1
    again = claas_eval(*small, DAGSTER_HOME=f"{tmp_path}/home")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [
        (["output_dir=/dev/null/evals/r"], {}, 2, ["output_dir", "/dev/null", "written"]),
        ([], {"DAGSTER_HOME": ""}, 2, ["dagster_home", "DAGSTER_HOME"]),
        (["claas_url=null"], {"CLAAS_ASSETS_CACHE": "/dev/null/cache"}, 1, ["/dev/null/cache", "CLAAS_ASSETS_CACHE"]),
        ([], {"CLAAS_ASSETS_LOCKS": "/dev/null/locks"}, 1, ["/dev/null/locks", "CLAAS_ASSETS_LOCKS"]),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_one_line(
    claas_eval, small, tmp_path, arguments, environment, code, words
):
    (tmp_path / "data").write_text("a file where ./data/dagster_home would be")
    done = claas_eval(*small, *arguments, **{"DAGSTER_HOME": f"{tmp_path}/home", **environment})
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [word for word in words if word not in done.stderr] == []

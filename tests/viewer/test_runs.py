"""The list of runs: their states, what is broken, what is cached, and that nobody is disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.runs.catalog import list_runs, run_overview
from claas_assets.evaluation.storage import run_folder
from claas_assets.evaluation.storage.journal import FileJournal
from tests.synthetic.example_copies import copy_run
from tests.viewer.conftest import CREATED, change


def keep_steps(folder, count):
    lines = (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "steps.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    (folder / "verdict.json").unlink(missing_ok=True)


def preference(folder, name):
    return next(p for p in run_overview(folder).preferences if p.name == name)


@pytest.fixture
def holder(example):
    """A process that holds the lock of `identity`, and says so."""
    program = (
        "import sys, time; from pathlib import Path; from claas_assets.evaluation.storage.journal import FileJournal\n"
        "with FileJournal(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(example / "identity")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_finished_run_tells_what_its_files_hold(example):
    run = run_overview(example)
    assert (run.run_id, run.state, run.created) == ("example", "complete", "2026-11-24T10:15:00+00:00")
    assert (run.mode, run.deployment, run.model) == (
        "embedded", "CLaaS embedded", "HuggingFaceTB/SmolLM2-135M-Instruct",
    )  # fmt: skip
    verdict = json.loads((example / "identity" / "verdict.json").read_text())
    told = preference(example, "identity")
    assert told.overall == verdict["overall"] == "fail"
    assert told.change == verdict["criteria"]["obeyed"]["change"]
    assert told.interval.lower == verdict["criteria"]["obeyed"]["interval"]["lower"]
    assert [p.overall for p in run.preferences] == ["marginal", "fail", "inconclusive"]


def test_the_newest_is_first_by_its_record_and_not_by_its_name(results):
    copy_run(results / "a-older", CREATED - timedelta(days=1))
    copy_run(results / "b-newer", CREATED + timedelta(days=1))
    assert [run.run_id for run in list_runs(results)] == ["b-newer", "example", "a-older"]


def test_a_run_whose_lock_is_held_is_running(example, holder):
    keep_steps(example / "identity", 2)
    run = run_overview(example)
    assert (run.state, run.words) == ("running", "identity: step 3 of 6")
    (example / "identity" / "baseline.json").unlink()
    assert preference(example, "identity").words == "baseline"


def test_a_killed_holder_leaves_an_interrupted_run(example, holder):
    keep_steps(example / "identity", 2)
    assert run_overview(example).state == "running"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (example / "identity" / ".lock.holder").exists()
    run = run_overview(example)
    assert (run.state, run.words) == ("interrupted", "identity: after 2 of 6 steps")


def test_a_process_number_that_was_given_again_is_not_the_holder(example):
    keep_steps(example / "identity", 2)
    note = example / "identity" / ".lock.holder"
    note.write_text(f"process {os.getpid()}")
    assert run_overview(example).state == "running"
    os.utime(note, (0, 0))  # written long before this process began
    assert run_overview(example).state == "interrupted"


@pytest.mark.parametrize("words", ["", "process", "process -1", "process 99999999999999", "\ufffd", "process 1; rm"])
def test_a_holder_that_is_none_is_not_believed(example, words):
    keep_steps(example / "identity", 2)
    (example / "identity" / ".lock.holder").write_text(words, encoding="utf-8")
    assert run_overview(example).state == "interrupted"


def test_looking_never_takes_the_lock(example, monkeypatch):
    import fcntl

    taken = []
    with FileJournal(example / "identity").lock():
        monkeypatch.setattr(fcntl, "flock", lambda *a: taken.append(a))
        monkeypatch.setattr(fcntl, "lockf", lambda *a: taken.append(a))
        assert preference(example, "identity").state in ("running", "complete")
        monkeypatch.undo()
    assert taken == []


def test_preferences_that_are_yet_to_come_are_waiting(example, holder):
    import shutil

    shutil.rmtree(example / "no_emoji")
    assert preference(example, "no_emoji").state == "waiting"


def test_a_run_that_began_a_moment_ago_is_starting(results):
    with FileJournal(results / "new" / "identity").lock():
        run = run_overview(results / "new")
        assert (run.state, run.words, run.created) == ("running", "identity: starting", None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.json", b"{", "metadata.json cannot be read"),
        ("metadata.json", b"[]", "metadata.json cannot be read"),
        (
            "metadata.json",
            b'{"config": {"num_steps": "many"}, "provenance": {"created": "x"}}',
            "metadata.json cannot be read: lora_id",
        ),
        ("metadata.json", b"\xff\xfe\x00", "metadata.json cannot be read"),
        ("metadata.json", None, "metadata.json is missing"),
        ("verdict.json", b"", "verdict.json cannot be read"),
        ("verdict.json", b'{"overall": "splendid", "criteria": {}}', "verdict.json cannot be read: preference"),
    ],
)
def test_what_is_broken_is_said_and_the_others_stay(example, name, content, words):
    path = example / "identity" / name
    path.unlink() if content is None else path.write_bytes(content)
    run = run_overview(example)
    assert run.state == "broken"
    assert words in preference(example, "identity").words
    assert preference(example, "concise").overall == "marginal"


def test_steps_that_are_no_number_are_said_by_their_key(example):
    change(example / "identity" / "metadata.json", lambda m: m["config"].update(num_steps="many"))
    assert "num_steps" in preference(example, "identity").words
    change(example / "concise" / "verdict.json", lambda v: v.update(overall="splendid"))
    assert "overall: must be one of" in preference(example, "concise").words


def test_links_are_not_read(example, tmp_path, results):
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    path = example / "identity" / "verdict.json"
    path.unlink()
    path.symlink_to(secret)
    told = preference(example, "identity")
    assert told.state == "broken"
    assert "links are not followed" in told.words
    assert "hunter2" not in str(run_overview(example))
    outside = copy_run(tmp_path / "elsewhere" / "run", CREATED)
    (results / "linked").symlink_to(outside)
    assert [run.run_id for run in list_runs(results)] == ["example"]


def test_a_half_written_line_is_no_step(example):
    keep_steps(example / "identity", 2)
    with open(example / "identity" / "steps.jsonl", "a", encoding="utf-8") as file:
        file.write('{"preference": "identity", "st')
    assert preference(example, "identity").words == "after 2 of 6 steps"


def test_a_verdict_that_is_older_than_the_steps_is_not_shown(example):
    folder = example / "identity"
    change(folder / "metadata.json", lambda m: m["config"].update(num_steps=7))
    with open(folder / "steps.jsonl", "a", encoding="utf-8") as file:
        file.write("{}\n")
    os.utime(folder / "verdict.json", (1, 1))
    told = preference(example, "identity")
    assert (told.overall, told.change) == (None, None)
    assert told.words == "all 7 steps are recorded, no verdict for them"


def test_a_change_is_seen_and_nothing_is_read_twice(example, monkeypatch):
    read = []
    original = run_folder._text
    monkeypatch.setattr(run_folder, "_text", lambda path: (read.append(path), original(path))[1])
    run_overview(example)
    read.clear()
    assert run_overview(example).preferences[1].overall == "fail"
    assert read == []
    change(example / "identity" / "verdict.json", lambda v: v.update(overall="inconclusive"))
    assert preference(example, "identity").overall == "inconclusive"


def test_the_steps_of_a_judged_run_are_not_opened(example, monkeypatch):
    steps = example / "identity" / "steps.jsonl"
    change(example / "identity" / "verdict.json", lambda v: v)  # younger than the steps
    steps.chmod(0)
    monkeypatch.setattr(run_folder, "open", lambda *a: pytest.fail(f"opened {a}"), raising=False)
    assert preference(example, "identity").words == "6 of 6 steps"


def test_what_is_no_run_is_not_listed(results):
    (results / "empty").mkdir()
    (results / "..hidden").mkdir()
    (results / "notes.txt").write_text("x")
    (results / "other" / "stuff").mkdir(parents=True)
    assert [run.run_id for run in list_runs(results)] == ["example"]
    assert list_runs(results / "not there") == []
    with pytest.raises(RunFolderError, match="not readable"):
        list_runs(results / "notes.txt")

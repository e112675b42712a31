"""The whole graph where results are not on this machine: in memory, and on S3 as moto's server speaks it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from claas_assets import load_run, run_harness
from claas_assets.defs.run_folder import ASSET_FILES
from claas_assets.evaluation import object_journal
from claas_assets.evaluation.errors import ConfigError, IncompleteEvaluation, RunFolderError
from claas_assets.evaluation.places import place_at
from claas_assets.evaluation.run_files import read_asset, read_steps, read_summary
from claas_assets.launch import rescore
from tests.fake_claas.faults import calling
from tests.stores import BUCKET, s3_server, tree

FEEDBACK = "/v1/feedback"
NOWHERE = {"claas_url": "http://127.0.0.1:9"}  # the network is cut


@pytest.fixture(scope="module")
def s3():
    with s3_server():
        yield


@pytest.fixture(params=["memory", "s3"])
def results(request):
    """A results folder of its own at each kind of address."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://{BUCKET}/{uuid4().hex[:8]}"


@pytest.fixture
def make(evaluation, results, tmp_path, monkeypatch):
    """An evaluation whose results are there; whatever is written on this machine by mistake lands in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def made(**config):
        here = evaluation(**{"output_dir": f"{results}/the-run", **config})
        here.place = place_at(here.settings["output_dir"])
        return here

    return made


def files(made) -> dict[str, bytes]:
    return tree(made.place.fs, made.place.path)


def test_the_whole_graph_writes_the_same_tree_there_and_nothing_here(make, tmp_path):
    made = make(plots=True, num_steps=2)
    summary = made.run()
    found = files(made)
    assets = {
        f"identity/{name}" for name in ASSET_FILES.values() if name not in ("plots", "report.html", "summary.json")
    }
    steps = {f"identity/steps/{step:06d}.json" for step in range(2)}
    plots = {name for name in found if name.startswith("plots/")}
    assert set(found) == {*assets, *steps, *plots, "report.html", "summary.json"}
    assert all(found[name].startswith(b"\x89PNG") for name in plots)
    assert len(plots) > 1
    assert found["identity/steps.jsonl"] == b"".join(found[name] for name in sorted(steps))
    assert made.fake.updates == {"eval/identity-the-run": 4}
    assert read_summary(made.place) == summary
    loaded = load_run(made.settings["output_dir"])
    assert (loaded.run_id, len(loaded.preferences["identity"].steps)) == ("the-run", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "preferences"}


def test_a_run_that_failed_in_step_2_goes_on_and_nothing_is_trained_twice(make):
    made = make()
    made.fake.faults.add(FEEDBACK, calling(made.fake.die), nth=2)
    with pytest.raises(IncompleteEvaluation, match=r"step 2 of 3: .*1 steps are recorded"):
        made.run(deployment_timeout_s=0.1)
    before = files(made)
    assert "identity/steps.jsonl" not in before
    assert [step.step for step in read_steps(made.place / "identity").steps] == [0]
    assert json.loads(before["identity/intent.json"])["step"] == 1
    made.fake.restart()
    made.run()
    after = files(made)
    assert after["identity/steps/000000.json"] == before["identity/steps/000000.json"]
    assert after["identity/metadata.json"] == before["identity/metadata.json"]
    assert "identity/intent.json" not in after
    assert [json.loads(line)["step"] for line in after["identity/steps.jsonl"].splitlines()] == [0, 1, 2]
    assert made.fake.updates == {"eval/identity-the-run": 6}


def test_a_step_that_the_store_did_not_take_is_recorded_when_resumed_without_training_again(make, monkeypatch):
    made, put = make(num_steps=2), object_journal.put

    def full(place, data, **how):
        if place.name == "000001.json":
            raise RunFolderError(f"{place} could not be written (no space left)")
        put(place, data, **how)

    with monkeypatch.context() as patch:
        patch.setattr(object_journal, "put", full)
        with pytest.raises(IncompleteEvaluation, match=r"step 2 of 2: .*no space left.*1 steps are recorded"):
            made.run()
    assert made.fake.updates == {"eval/identity-the-run": 4}
    made.run()
    assert made.fake.updates == {"eval/identity-the-run": 4}
    assert made.fake.log.count(FEEDBACK) == 2
    assert [record.sub_step_count for record in read_steps(made.place / "identity").steps] == [2, 2]


def test_more_steps_go_on_there_with_the_same_adapter(make):
    made = make(num_steps=1)
    made.run()
    made.run(num_steps=2)
    assert made.fake.log.count("/v1/lora/init") == 1
    assert len(files(made)["identity/steps.jsonl"].splitlines()) == 2
    assert made.fake.updates == {"eval/identity-the-run": 4}


def test_scoring_again_finds_the_newest_folder_and_asks_nobody(make, results):
    old = make(num_steps=1, output_dir=f"{results}/zz-older")
    old.run()
    made = make(num_steps=1)
    made.run()
    before, requests = files(made), len(made.fake.log.requests)
    strict = {"logprob_margin": {"pass_at": 500.0, "fail_at": 400.0}}

    assert made.materialize("verdict", partition="identity", thresholds=strict, **NOWHERE).success
    assert made.materialize("summary", thresholds=strict, **NOWHERE).success
    after = files(made)
    verdict = read_asset("verdict", made.place / "identity" / "verdict.json")
    assert verdict.criteria["logprob_margin"].grade == "fail"
    assert {name for name in before if before[name] != after[name]} == {"identity/verdict.json", "summary.json"}
    assert read_asset("verdict", old.place / "identity" / "verdict.json").criteria["logprob_margin"].grade != "fail"
    assert rescore(made.config(**NOWHERE))["identity"].criteria["logprob_margin"].grade != "fail"
    assert files(made) == before
    assert len(made.fake.log.requests) == requests


def test_processes_side_by_side_meet_at_the_same_address(evaluation, s3):
    made = evaluation(
        preferences=["identity", "concise"], parallel_preferences=2, num_steps=1, metrics=["logprob"],
        output_dir=f"s3://{BUCKET}/side-by-side/the-run",
    )  # fmt: skip
    assert set(made.run()) == {"identity", "concise"}
    assert made.fake.updates == {"eval/identity-the-run": 2, "eval/concise-the-run": 2}


def test_the_command_line_names_runs_by_address(make, s3, tmp_path):
    made = make(num_steps=1, output_dir=f"s3://{BUCKET}/command/the-run", metrics=["logprob"])
    made.run()
    address = made.settings["output_dir"]

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "claas_assets", *arguments], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = command("rescore", address, "thresholds.logprob_margin.fail_at=400", "plots=false")
    assert (code, f"Run folder: {address}" in said) == (0, True), said
    code, said = command("view", f"s3://{BUCKET}/command")
    assert (code, "is not a folder of this machine" in said) == (2, True), said


# --- refused before anything is sent ----------------------------------------------------------


def test_memory_is_refused_where_several_processes_would_write(make, results):
    if not results.startswith("memory"):
        pytest.skip("of memory alone")
    made = make(preferences=["identity", "concise"])
    with pytest.raises(ConfigError, match="parallel_preferences=1"):
        made.run(parallel_preferences=2)
    with pytest.raises(ConfigError, match="main thread"):
        asyncio.run(run_harness(made.config()))
    assert made.fake.log.requests == []


@pytest.mark.parametrize("output_dir", ["s3://no-such-bucket/evals/the-run", "nonsense://a/b"])
def test_a_store_that_is_not_there_is_said_before_anything_is_sent(evaluation, s3, output_dir):
    made = evaluation(output_dir=output_dir)
    with pytest.raises(ConfigError, match=output_dir):
        made.run()
    assert made.fake.log.requests == []


def test_no_record_and_no_metadata_names_a_credential(make, s3):
    made = make(num_steps=0)
    made.run()
    assert all(b"nothing-secret" not in data for data in files(made).values())
    events = "".join(path.read_bytes().decode("latin-1") for path in made.root.rglob("*.db"))
    assert "the-run" in events
    assert "nothing-secret" not in events
    assert fsspec.config.conf.get("s3") is None

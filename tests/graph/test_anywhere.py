"""The whole graph where results are not on this machine: in memory, and on S3 as moto's server speaks it."""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

import pytest
import s3fs

from claas_assets import load_run, run_harness
from claas_assets.cli import main
from claas_assets.defs.run_folder import ASSET_FILES
from claas_assets.evaluation.errors import ConfigError, IncompleteEvaluation, RunFolderError
from claas_assets.evaluation.storage import object_journal
from claas_assets.evaluation.storage.atomic import write_whole
from claas_assets.evaluation.storage.run_folder import PreferenceFolder, RunFolder
from claas_assets.evaluation.storage.stores import exists, files_in, place_at
from claas_assets.launch.evaluation import rescore
from tests.fake_claas.faults import status
from tests.stores import BUCKET, SECRET, s3_server, tree

FEEDBACK = "/v1/feedback"
NOWHERE = {"claas_url": "http://127.0.0.1:9"}  # the network is cut


@pytest.fixture(scope="module")
def s3():
    with s3_server():
        yield


@pytest.fixture
def results(request):
    """A results folder of its own: in memory, which the journal and the IO managers cannot tell from S3, or `on_s3`."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://{BUCKET}/{uuid4().hex[:8]}"


on_s3 = pytest.mark.parametrize("results", ["s3"], indirect=True)
in_memory = pytest.mark.parametrize("results", ["memory"], indirect=True)


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


@on_s3
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
    assert RunFolder(made.place).summary() == summary
    loaded = load_run(made.settings["output_dir"])
    assert (loaded.run_id, len(loaded.preferences["identity"].steps)) == ("the-run", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "preferences"}
    told = b"".join([*found.values(), *(path.read_bytes() for path in (tmp_path / "home").rglob("*.db"))])
    assert b"the-run" in told
    assert SECRET.encode() not in told


@in_memory
def test_a_run_that_failed_in_step_2_goes_on_and_nothing_is_trained_twice(make):
    made = make(metrics=["logprob"])
    made.fake.faults.add(FEEDBACK, status(422, "not now"), nth=2)
    with pytest.raises(IncompleteEvaluation, match=r"step 2 of 3: .*1 steps are recorded"):
        made.run()
    before = files(made)
    assert "identity/steps.jsonl" not in before
    assert [step.step for step in PreferenceFolder(made.place / "identity").steps()] == [0]
    entry = RunFolder(made.place).summary()["identity"]
    assert (entry.overall, entry.steps_recorded) == ("unfinished", 1)
    assert "identity/intent.json" not in before  # a refusal trains nothing: the step begins afresh
    made.run()
    after = files(made)
    kept = ("identity/steps/000000.json", "identity/metadata.json", "identity/baseline.json")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert [json.loads(line)["step"] for line in after["identity/steps.jsonl"].splitlines()] == [0, 1, 2]
    assert made.fake.updates == {"eval/identity-the-run": 6}


@on_s3
def test_a_step_that_the_store_did_not_take_is_recorded_when_resumed_without_training_again(make, monkeypatch):
    made, put = make(num_steps=2, metrics=["logprob"]), object_journal.put

    def full(place, data, **how):
        if place.name == "000001.json":
            raise RunFolderError(f"{place} could not be written (no space left)")
        put(place, data, **how)

    with monkeypatch.context() as patch:
        patch.setattr(object_journal, "put", full)
        with pytest.raises(IncompleteEvaluation, match=r"step 2 of 2: .*no space left.*1 steps are recorded"):
            made.run()
    intent = json.loads(files(made)["identity/intent.json"])
    assert (intent["step"], intent["calls_begun"], len(intent["answers"])) == (1, 1, 1)
    assert made.fake.updates == {"eval/identity-the-run": 4}
    made.run(num_steps=3)  # and it may grow there too
    assert made.fake.updates == {"eval/identity-the-run": 6}
    assert made.fake.log.count(FEEDBACK) == 3
    assert made.fake.log.count("/v1/lora/init") == 1
    assert [record.sub_step_count for record in PreferenceFolder(made.place / "identity").steps()] == [2, 2, 2]


@in_memory
def test_scoring_again_finds_the_newest_folder_and_asks_nobody(make, results):
    made = make(num_steps=1, metrics=["logprob"])
    made.run()
    before, requests = files(made), len(made.fake.log.requests)
    old = place_at(f"{results}/zz-older")
    metadata = json.loads(before["identity/metadata.json"])
    metadata["provenance"]["created"] = "2026-01-01T00:00:00.000+00:00"
    for name, data in {**before, "identity/metadata.json": json.dumps(metadata)}.items():
        write_whole(old / name, data)
    strict = {"logprob_margin": {"pass_at": 500.0, "fail_at": 400.0}}

    assert made.materialize("verdict", partition="identity", thresholds=strict, **NOWHERE).success
    assert made.materialize("summary", thresholds=strict, **NOWHERE).success
    after = files(made)
    verdict = PreferenceFolder(made.place / "identity").verdict()
    assert verdict.criteria["logprob_margin"].grade == "fail"
    assert {name for name in before if before[name] != after[name]} == {"identity/verdict.json", "summary.json"}
    assert PreferenceFolder(old / "identity").verdict().criteria["logprob_margin"].grade != "fail"
    assert rescore(made.config(**NOWHERE))["identity"].criteria["logprob_margin"].grade != "fail"
    assert files(made) == before
    assert len(made.fake.log.requests) == requests


def test_processes_side_by_side_and_the_command_line_meet_at_the_same_address(evaluation, s3, monkeypatch, capsys):
    address = f"s3://{BUCKET}/side-by-side/the-run"
    made = evaluation(
        preferences=["identity", "concise"], parallel_preferences=2, num_steps=1, metrics=["logprob"],
        output_dir=address,
    )  # fmt: skip
    assert set(made.run()) == {"identity", "concise"}
    assert made.fake.updates == {"eval/identity-the-run": 2, "eval/concise-the-run": 2}
    monkeypatch.setattr(sys, "argv", ["claas-eval"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:  # in this process, which wrote nothing there
        main.main(["compare", address, "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    (run,) = json.loads(said.out)["runs"]
    assert (run["run_id"], run["folder"]) == ("the-run", address)


def test_what_another_process_wrote_is_seen_at_once(s3):
    folder = place_at(f"s3://{BUCKET}/seen/run/identity")
    other = s3fs.S3FileSystem(client_kwargs={"region_name": "us-east-1"})  # not the instance that is asked below
    other.pipe_file(f"{folder.path}/steps/000000.json", b"0")
    assert [file.name for file in files_in(folder / "steps")] == ["000000.json"]
    assert not exists(folder / "steps" / "000001.json")
    other.pipe_file(f"{folder.path}/steps/000001.json", b"1")
    assert [file.name for file in files_in(folder / "steps")] == ["000000.json", "000001.json"]
    assert exists(folder / "steps" / "000001.json")


# --- refused before anything is sent ----------------------------------------------------------


def test_memory_is_refused_where_several_processes_would_write(evaluation):
    made = evaluation(preferences=["identity", "concise"], output_dir=f"memory://{BUCKET}/refused/the-run")
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

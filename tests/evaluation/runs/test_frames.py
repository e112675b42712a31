"""Runs in a notebook: tidy frames, and broken runs that are said and not skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import claas_assets
from claas_assets import load_run, load_runs
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.synthetic.records import adapter_record
from tests.synthetic.runs import made_run, passing, write_run

EXAMPLE = Path(__file__).parents[2] / "data" / "example"
STATE = ["run_id", "preference", "phase", "step"]


@pytest.fixture(scope="module")
def example():
    return load_run(EXAMPLE)


def test_the_frames_are_tidy(example):
    assert list(example.steps.columns[:4]) == STATE
    assert list(example.metrics.columns[:4]) == STATE
    assert list(example.transcripts.columns[:4]) == STATE
    assert set(example.steps["preference"]) == {"concise", "identity", "no_emoji"}
    assert not example.steps.duplicated(["preference", "phase", "step"]).any()
    assert not example.metrics.duplicated(["preference", "step", "quantity"]).any()
    assert not example.transcripts.duplicated(["preference", "step", "key"]).any()
    assert not example.verdicts.duplicated(["preference", "criterion"]).any()


def test_the_numbers_are_those_of_the_files(example):
    verdict = PreferenceFolder(EXAMPLE / "identity").verdict()
    identity = example.verdicts.query("preference == 'identity'").set_index("criterion")
    assert identity.loc["obeyed", "value"] == verdict.criteria["obeyed"].value
    assert identity.loc["obeyed", "lower"] == verdict.criteria["obeyed"].interval.lower
    assert set(identity["overall"]) == {verdict.overall}
    steps = example.steps.query("preference == 'identity'")
    assert list(steps["step"]) == [-1, 0, 1, 2, 3, 4, 5]
    assert list(steps["phase"])[:2] == ["baseline", "step"]
    assert list(steps["steps_done"]) == [0, 1, 2, 3, 4, 5, 6]
    assert steps["heldout_compliance"].iloc[-1] == 1.0
    assert set(identity["outcome"]) == {verdict.outcome}
    assert steps["sub_step_count"].isna().tolist() == [True] + [False] * 6
    assert steps["sdpo_grad_norm"].notna().sum() == 6


def test_truth_values_of_the_table_are_numbers_and_what_is_missing_has_a_reason(example):
    metrics = example.metrics
    assert set(metrics.query("quantity == 'general.coding_has_docstring'")["value"]) <= {0.0, 1.0}
    assert metrics["value"].dtype == float
    assert metrics[metrics["value"].isna()]["reason"].notna().all()


def test_the_table_that_a_run_wrote_can_be_read_again():
    table = PreferenceFolder(EXAMPLE / "identity").metric_table()
    found = {row["value"] for row in table.rows if row["unit"] == "bool"}
    assert found == {True, False}


def test_an_answer_has_what_the_verifier_said_of_it(example):
    asked = example.transcripts.query("preference == 'identity' and step == 5 and group == 'heldout_prompts'")
    assert len(asked) == 20
    assert asked["passed"].all()
    assert asked["answer"].str.contains("kuro", case=False).all()
    items = example.transcripts.query("preference == 'identity' and step == -1 and group == 'items'")
    assert items["score"].mean() == pytest.approx(25 / 48)
    rollouts = example.transcripts.query("metric == 'rollout'")
    assert len(rollouts) == 3 * 6 * 4


def test_several_runs_stand_in_one_frame_oldest_first(tmp_path):
    for name, count in (("b", 5), ("a", 10)):
        write_run(tmp_path, made_run(name, passing(count)))
    runs = load_runs(tmp_path)
    assert [run.run_id for run in runs] == ["a", "b"]  # begun at the same time: by name
    assert len(runs) == 2
    for run in runs:
        obeyed = run.verdicts.set_index("criterion").loc["obeyed", "value"]
        assert run.steps["heldout_obeyed"].iloc[-1] == obeyed
    last = runs.steps.groupby("run_id")["heldout_compliance"].last()
    assert last.to_dict() == {"a": 0.5, "b": 0.25}
    assert set(runs.verdicts["run_id"]) == {"a", "b"}


def test_every_frame_of_several_runs_says_in_which_settings_they_differ(tmp_path):
    for name, seed, rate in (("a", 1, 1e-4), ("b", 2, 3e-4)):
        write_run(tmp_path, made_run(name, config={"seed": seed, "training": {"learning_rate": rate}}))
    runs = load_runs(tmp_path)
    for frame in (runs.steps, runs.metrics, runs.transcripts, runs.verdicts):
        told = frame.groupby("run_id")[["seed", "training.learning_rate"]].first()
        assert told.loc["a"].tolist() == [1, 1e-4]
        assert told.loc["b"].tolist() == [2, 3e-4]
        assert not any(column.startswith(("lora.", "output_dir")) for column in frame.columns)
    assert "training.learning_rate" not in runs.runs[0].steps.columns
    assert set(runs.runs[0].steps["seed"]) == {1}


def test_what_is_read_is_what_was_written(tmp_path):
    made = made_run("a", passing(9))
    loaded = load_run(write_run(tmp_path, made))
    mine, theirs = made.preferences["identity"], loaded.preferences["identity"]
    assert (theirs.baseline, theirs.steps, theirs.verdict) == (mine.baseline, mine.steps, mine.verdict)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("metadata.json", "{", "metadata.json"),
        ("metadata.json", None, "metadata.json"),
        ("metadata.json", '{"preference": "identity"}', "metadata.json"),
        ("baseline.json", "[]", "baseline.json"),
        ("steps.jsonl", "{}\n", "steps.jsonl, line 1"),
        ("verdict.json", "\udcff", "identity"),
        ("metrics.csv", "run_id,value\n1,many\n", "metrics.csv"),
    ],
)
def test_a_broken_run_is_named_with_its_reason_and_the_others_are_there(tmp_path, file, text, words):
    write_run(tmp_path, made_run("good"))
    broken = write_run(tmp_path, made_run("bad")) / "identity" / file
    broken.unlink()
    if text is not None:
        broken.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.warns(UserWarning, match="run bad is left out"):
        runs = load_runs(tmp_path)
    assert [run.run_id for run in runs] == ["good"]
    assert list(runs.broken) == ["bad"]
    assert words in runs.broken["bad"]
    with pytest.raises(RunFolderError, match="bad"):
        load_run(tmp_path / "bad")


@pytest.mark.parametrize("config", [{}, {"metrics": None}, {"metrics": "logprob"}])
def test_a_configuration_without_a_list_of_metrics_is_named_with_its_file_and_key(config):
    with pytest.raises(RunFolderError, match=r"metadata\.json of run made-up.*config\.metrics is"):
        _ = adapter_record(config=config).metrics


def test_a_folder_that_claims_to_be_another_preference_is_refused(tmp_path):
    folder = write_run(tmp_path, made_run("a"))
    (folder / "identity").rename(folder / "concise")
    with pytest.raises(RunFolderError, match=r"'identity'.*'concise'"):
        load_run(folder)


def test_an_evaluation_that_is_still_running_is_a_run(tmp_path):
    folder = write_run(tmp_path, made_run("a", recorded=1)) / "identity"
    for name in ("verdict.json", "metrics.csv"):
        (folder / name).unlink()
    run = load_run(tmp_path / "a")
    assert run.preferences["identity"].verdict.overall == "unfinished"
    assert run.verdicts["criterion"].notna().all()
    assert set(run.metrics["step"]) == {-1, 0}
    (folder / "steps.jsonl").unlink()
    (folder / "baseline.json").unlink()
    begun = load_run(tmp_path / "a")
    assert (len(begun.steps), len(begun.metrics), len(begun.transcripts)) == (0, 0, 0)
    assert list(begun.verdicts["overall"]) == ["unfinished"]


def test_a_table_older_than_the_steps_is_made_afresh(tmp_path):
    run = made_run("a")
    folder = write_run(tmp_path, made_run("a", recorded=1))
    (folder / "identity" / "steps.jsonl").unlink()
    from claas_assets.evaluation.storage.journal import FileJournal

    for step in run.preferences["identity"].steps:
        FileJournal(folder / "identity").append(step)
    loaded = load_run(folder)
    assert set(loaded.metrics["step"]) == {-1, 0, 1}
    assert loaded.preferences["identity"].verdict == run.preferences["identity"].verdict


def test_the_runs_of_a_sweep(tmp_path):
    write_run(tmp_path, made_run("a", config={"sweep_id": "s"}))
    write_run(tmp_path, made_run("b"))
    assert [run.run_id for run in load_runs(tmp_path, sweep_id="s")] == ["a"]


def test_folders_that_hold_no_run_are_none(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden" / "identity").mkdir(parents=True)
    (tmp_path / ".hidden" / "identity" / "metadata.json").write_text("{")
    runs = load_runs(tmp_path)
    assert (len(runs), runs.broken, len(runs.steps)) == (0, {}, 0)
    assert list(runs.steps.columns[:4]) == STATE
    with pytest.raises(RunFolderError, match="nowhere"):
        load_runs(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="not a run folder"):
        load_run(tmp_path / "notes")


def test_the_public_names_are_lazy():
    assert {"load_run", "load_runs"} <= set(claas_assets.__all__)
    program = "import sys, claas_assets; claas_assets.load_run; print('pandas' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

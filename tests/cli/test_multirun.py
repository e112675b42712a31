"""A sweep: one run folder a job under one sweep id, which the same command with that id finds again."""

from __future__ import annotations

import re
import sys

import pytest

from claas_assets import load_runs
from claas_assets.cli import main, terminal
from claas_assets.evaluation.errors import DeploymentUnreachable, RunFolderError
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.training.adapter import check_frozen
from tests.graph.conftest import FEW, prepare
from tests.synthetic.runs import made_preference_run
from tests.synthetic.transcripts import preference


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """`evaluated(arguments)` → (exit code, the configurations that would have been evaluated), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    configs = []

    def record(config):
        configs.append(config)
        if config.seed == 666:
            raise DeploymentUnreachable("nobody answers")
        return 0

    monkeypatch.setattr(terminal, "show_evaluation", record)
    monkeypatch.setattr(sys, "argv", ["claas-eval"])

    def run(*arguments):
        configs.clear()
        with pytest.raises(SystemExit) as ended:
            main.main(list(arguments))
        return ended.value.code, list(configs)

    return run


SWEEP = ("--multirun", "training.learning_rate=1e-4,2e-4", "seed=1,2")


def test_each_job_of_a_sweep_has_its_own_folder_and_all_have_one_sweep_id(evaluated, tmp_path, capsys):
    code, configs = evaluated(*SWEEP)
    assert code == 0
    (sweep,) = {config.sweep_id for config in configs}
    assert re.fullmatch(r"\d{8}-\d{6}Z", sweep)
    assert [config.output_dir for config in configs] == [f"./data/evals/{sweep}-0{job}" for job in range(4)]
    settings = [(config.training.learning_rate, config.seed) for config in configs]
    assert settings == [(rate, seed) for rate in (1e-4, 2e-4) for seed in (1, 2)]
    said = capsys.readouterr().err
    assert f"claas-eval compare --sweep {sweep}." in said
    assert f"sweep_id={sweep}" in said
    jobs = [line for line in said.splitlines() if line.startswith("Job ")]
    assert jobs[1] == "Job 2 of 4: training.learning_rate=0.0001 seed=2"
    assert len(jobs) == 4
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        f"data/sweeps/{sweep}/multirun.yaml"
    ]


def test_the_same_command_with_the_sweep_id_has_the_same_folders_and_training_does_not_depend_on_it(evaluated):
    sweep = ("--multirun", "seed=1,2", "sweep_id=my-sweep")
    _, first = evaluated(*sweep)
    _, again = evaluated(*sweep)
    assert first == again
    assert (again[1].output_dir, again[1].sweep_id) == ("./data/evals/my-sweep-01", "my-sweep")
    _, (alone,) = evaluated("seed=1")
    assert again[0].training_inputs() == alone.training_inputs(), "training depends on the sweep"
    assert "sweep_id" not in again[0].training_inputs()


def test_a_sweep_over_what_has_no_effect_is_refused(evaluated, capsys):
    code, configs = evaluated("--multirun", "mode=tinker", "openclaw_url=null", "training.is_clip=2.0,3.0")
    assert (code, len(configs)) == (2, 1)
    assert "a sweep over training.is_clip compares nothing" in capsys.readouterr().err
    code, configs = evaluated("--multirun", "mode=tinker", "openclaw_url=null", "training.alpha=0.2,0.3")
    assert (code, len(configs)) == (0, 2)


def test_a_single_run_is_of_no_sweep_unless_it_says_so(evaluated, capsys):
    _, (config,) = evaluated("seed=1")
    assert config.sweep_id is None
    assert re.fullmatch(r"\./data/evals/\d{8}-\d{6}Z", config.output_dir)
    assert "Sweep" not in capsys.readouterr().err
    _, (added,) = evaluated("seed=4", "sweep_id=my-sweep")
    assert added.sweep_id == "my-sweep"
    assert not added.run_id.startswith("my-sweep")


def test_results_elsewhere_keep_one_folder_a_job(evaluated, capsys):
    _, configs = evaluated("--multirun", "seed=1,2", "sweep_id=s", "output_dir=elsewhere/${claas_run_id:}")
    assert [config.output_dir for config in configs] == ["elsewhere/s-00", "elsewhere/s-01"]
    assert "compare --sweep s --results-dir elsewhere." in capsys.readouterr().err


def test_a_printed_command_is_quoted_where_a_path_has_a_blank(evaluated, capsys):
    evaluated("--multirun", "seed=1,2", "sweep_id=s", "output_dir='my runs/${claas_run_id:}'")
    assert "compare --sweep s --results-dir 'my runs'." in capsys.readouterr().err


def test_one_output_dir_for_all_jobs_is_refused(evaluated, capsys):
    code, configs = evaluated("--multirun", "seed=1,2", "output_dir=data/evals/mine")
    assert code == 2
    assert [config.seed for config in configs] == [1]
    assert "output_dir=data/evals/mine" in capsys.readouterr().err


def test_a_job_that_fails_leaves_the_others_to_run(evaluated, capsys):
    code, configs = evaluated("--multirun", "seed=1,666,2")
    assert code == 1
    assert [config.seed for config in configs] == [1, 666, 2]
    assert "nobody answers" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../up", "a b", ".hidden", "a/b"])
def test_a_sweep_id_that_is_no_name_is_exit_2(evaluated, name, capsys):
    code, configs = evaluated(f"sweep_id='{name}'")
    assert (code, configs) == (2, [])
    assert "sweep_id" in capsys.readouterr().err


def test_the_frozen_check_lets_a_sweep_go_on_and_refuses_another_job_in_its_folder(evaluated):
    _, (first, other) = evaluated("--multirun", "seed=1,2", "sweep_id=s")
    run = made_preference_run(config=first)
    check_frozen(run.adapter, first.model_copy(update={"sweep_id": "another"}), PreferenceSequence.of(preference()))
    with pytest.raises(RunFolderError, match="seed: 1 then, 2 now"):
        check_frozen(run.adapter, other, PreferenceSequence.of(preference()))


def test_a_sweep_trains_each_job_once_and_goes_on_where_it_was(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["claas-eval"])
    prepare(tmp_path, FEW)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    deployment = fake("embedded")

    def sweep(seeds, *more):
        with pytest.raises(SystemExit) as ended:
            main.main([
                "--multirun", f"seed={seeds}", "sweep_id=s", "preferences=[identity]", f"claas_url={deployment.url}",
                "metrics=[logprob]", "num_steps=1", "plots=false", f"preferences_dir={tmp_path}/preferences", *more,
            ])  # fmt: skip
        return ended.value.code

    assert sweep("1") == 0, capsys.readouterr().err
    assert deployment.updates == {"eval/identity-s-00": 4}

    assert sweep("1,2") == 0  # a further seed at the end: the first one is done
    assert deployment.updates == {"eval/identity-s-00": 4, "eval/identity-s-01": 4}
    runs = load_runs(tmp_path / "data" / "evals", sweep_id="s")
    assert [run.run_id for run in runs] == ["s-00", "s-01"]
    assert [run.preferences["identity"].adapter.config["seed"] for run in runs] == [1, 2]
    assert (tmp_path / "data" / "sweeps" / "s" / "multirun.yaml").exists()

    assert sweep("2") == 1
    assert "seed: 1 then, 2 now" in capsys.readouterr().err
    assert sum(deployment.updates.values()) == 8

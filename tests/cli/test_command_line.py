"""claas-eval as a user starts it: exit codes, one clear message, nothing sent before the configuration is right."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

NOWHERE = ("mode=local", "openclaw_url=null", "claas_url=http://127.0.0.1:9", "preferences=[concise]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["num_stesp=3"], ["num_stesp", "no such key", "num_steps"]),
        (["training.lr=3"], ["training.lr", "no such key", "learning_rate"]),
        (["+new_key=1"], ["new_key", "no such key"]),
        (["training.alpha=3"], ["training.alpha", "3", "at most 1"]),
        (["training.learning_rate=fast"], ["training.learning_rate", "fast", "number"]),
        (["mode=cloud"], ["mode", "cloud", "embedded", "local", "modal", "tinker"]),
        (["metrics=[speed]"], ["metrics", "speed", "logprob", "collapse"]),
        (["metrics=[]"], ["metrics", "at least 1"]),
        (["preferences=[]"], ["preferences", "at least 1"]),
        (["preferences=[rude]"], ["preferences", "rude", "concise", "identity", "no_emoji"]),
        (["mode=tinker", "preferences=[concise]"], ["OPENCLAW_GATEWAY_TOKEN", "openclaw_url=null"]),
        (["--config-name", "nowhere"], ["nowhere"]),
        (["num_steps"], ["num_steps"]),
    ],
)
def test_a_wrong_configuration_is_exit_2_with_one_clear_message(claas_eval, arguments, words, tmp_path):
    done = claas_eval(*arguments)
    assert done.returncode == 2, done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []  # nothing was begun


@pytest.mark.parametrize("home", ["relative/home", "/nowhere/at/all"])
def test_a_dagster_home_that_cannot_be_used_is_exit_2(claas_eval, home):
    done = claas_eval(*NOWHERE, DAGSTER_HOME=home)
    assert done.returncode == 2, done.stderr
    assert "DAGSTER_HOME" in done.stderr
    assert home in done.stderr


def test_a_deployment_that_does_not_answer_is_exit_1_with_its_address_and_what_to_start(claas_eval, tmp_path):
    (tmp_path / "home").mkdir()
    done = claas_eval(*NOWHERE, DAGSTER_HOME=str(tmp_path / "home"))
    assert done.returncode == 1, done.stderr
    assert "http://127.0.0.1:9" in done.stderr
    assert "start vLLM" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_cfg_job_prints_the_composed_configuration(claas_eval):
    done = claas_eval("--cfg", "job", "mode=tinker", "training.is_clip=7.0", "base_model=Qwen/Qwen3-8B")
    values = yaml.safe_load(done.stdout)
    assert done.returncode == 0
    assert (values["mode"], values["claas_url"], values["base_model"]) == (
        "tinker",
        "http://localhost:8080",
        "Qwen/Qwen3-8B",
    )
    assert values["training"]["is_clip"] == 7.0
    assert values["training"]["learning_rate"] == 3e-5


def test_a_process_of_its_own_says_the_same(tmp_path):
    """`python -m claas_assets`, where nothing but the path is set."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
    command = [sys.executable, "-m", "claas_assets", "num_stesp=3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=kept, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "num_stesp" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_keys_and_writes_nothing(claas_eval, tmp_path):
    done = claas_eval("--help")
    assert done.returncode == 0
    assert "num_steps" in done.stdout
    assert "claas-eval" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_config_folder(claas_eval, tmp_path):
    folder = tmp_path / "my_configs"
    folder.mkdir()
    (folder / "my_config.yaml").write_text("defaults: [base, {override mode: tinker}, _self_]\nnum_steps: 3\n")
    done = claas_eval("--config-dir", str(folder), "--config-name", "my_config", "--cfg", "job")
    values = yaml.safe_load(done.stdout)
    assert (values["num_steps"], values["mode"]) == (3, "tinker"), done.stderr

"""Ctrl-C ends a run of the command line, and the same output_dir goes on without training twice."""

import os
import signal
import subprocess
import sys
import time

import dagster as dg

from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.graph.conftest import FEW, prepare


def test_ctrl_c_is_exit_130_and_the_same_output_dir_goes_on(fake, claas_eval, tmp_path):
    deployment = fake("embedded")
    deployment.latency_s["/v1/feedback"] = 1.0
    prepare(tmp_path, FEW)
    home = str(tmp_path / "home")
    folder = tmp_path / "evals" / "stopped"
    arguments = [
        "preferences=[identity,concise]", f"claas_url={deployment.url}",
        "num_steps=2", "metrics=[logprob]", "plots=false", "parallel_preferences=1",
        f"output_dir={folder}", f"preferences_dir={tmp_path}/preferences",
    ]  # fmt: skip
    environment = {**os.environ, "DAGSTER_HOME": home}
    command = [sys.executable, "-m", "claas_assets", *arguments]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while deployment.log.count("/v1/feedback") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    assert f"output_dir={folder}" in output
    assert not (folder / "concise").exists()
    assert "Traceback" not in output, output
    with dg.DagsterInstance.from_config(home) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["CANCELED"]
    assert len(PreferenceFolder(folder / "identity").steps()) == 1

    again = claas_eval(*arguments, DAGSTER_HOME=home)
    assert again.returncode == 0, again.stderr
    assert deployment.updates == {"eval/identity-stopped": 8, "eval/concise-stopped": 8}
    assert deployment.log.count("/v1/feedback") == 4
    assert [record.sub_step_count for record in PreferenceFolder(folder / "identity").steps()] == [4, 4]


def hear_ctrl_c() -> None:
    """As in a terminal: what a shell starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_in_a_terminal_reaches_every_process_and_every_run_is_canceled(fake, tmp_path):
    deployment = fake("embedded")
    deployment.latency_s["/v1/feedback"] = 5.0
    prepare(tmp_path, FEW)
    home = str(tmp_path / "home")
    arguments = [
        "preferences=[identity,concise]", f"claas_url={deployment.url}", "num_steps=1", "metrics=[logprob]",
        "plots=false", f"output_dir={tmp_path}/evals/stopped", f"preferences_dir={tmp_path}/preferences",
    ]  # fmt: skip
    command = [sys.executable, "-m", "claas_assets", *arguments]
    running = subprocess.Popen(
        command, env={**os.environ, "DAGSTER_HOME": home}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while deployment.log.count("/v1/feedback") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    assert "Traceback" not in output, output
    with dg.DagsterInstance.from_config(home) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["CANCELED", "CANCELED"]


def test_ctrl_c_while_modules_are_imported_is_exit_130_without_a_traceback():
    code = (
        "import builtins, signal; real = builtins.__import__\n"
        "def slow(name, *rest, **more):\n"
        "    if name == 'hydra': signal.raise_signal(signal.SIGINT)\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = slow\n"
        "from claas_assets.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, timeout=60, preexec_fn=hear_ctrl_c
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

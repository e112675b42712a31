"""Code server, daemon and queue on Postgres, as deploy/docker/compose.yaml starts them, without Docker."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.deploy.conftest import DEPLOY, ROOT
from tests.fake_claas import Gate, hold

FEEDBACK = "/v1/feedback"
STEPS, UPDATES = 2, 2
BIN = Path(sys.executable).parent


@pytest.fixture
def machine(home, fake, monkeypatch):
    """`deployment, start`: a fake deployment that is watched, and what starts one of the compose file's services."""
    deployment = fake("tinker")
    settings = {
        "mode": "tinker", "claas_url": deployment.url, "openclaw_url": None,
        "preferences_dir": str(home / "preferences"), "metrics": ["logprob", "compliance"], "num_steps": STEPS,
        "batch_size": 2, "plots": False, "training": {"steps_per_batch": UPDATES}, "deployment_timeout_s": 0,
        "output_dir": str(home / "evals" / "unused"),
    }  # fmt: skip
    (home / "preferences" / "no_emoji.yaml").unlink()
    (home / "eval.yaml").write_text(yaml.safe_dump(settings))
    port = _free_port()
    workspace = (DEPLOY / "docker" / "workspace.yaml").read_text()
    (home / "workspace.yaml").write_text(workspace.replace("host: code", "host: 127.0.0.1").replace("4000", str(port)))
    monkeypatch.setenv("CLAAS_EVAL_CONFIG", str(home / "eval.yaml"))
    monkeypatch.setenv("CLAAS_WATCH_SECONDS", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    services = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]
    started = []

    def start(service):
        words = [
            word.replace("/opt/dagster/home/workspace.yaml", str(home / "workspace.yaml"))
            for word in services[service]["command"]
        ]
        here = {"0.0.0.0": "127.0.0.1", "4000": str(port)}
        command = [str(BIN / words[0]), *(here.get(word, word) for word in words[1:])]
        log = open(home / f"{service}.log", "wb")  # noqa: SIM115 - the process writes to it
        started.append(subprocess.Popen(command, cwd=home, stdout=log, stderr=log, start_new_session=True))
        return started[-1]

    yield deployment, start
    for process in reversed([process for process in started if process.poll() is None]):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_new_deployment_is_evaluated_one_run_at_a_time_and_a_killed_run_goes_on(machine, home):
    deployment, start = machine
    gate = Gate()
    deployment.faults.add(FEEDBACK, hold(gate, "before"), nth=2)
    start("limits").wait(timeout=60)
    start("code")
    ask = [str(BIN / "dagster"), "sensor", "start", "--start-all", "-w", str(home / "workspace.yaml")]
    until(lambda: subprocess.run(ask, capture_output=True, cwd=home).returncode == 0, "the code server", home)
    start("daemon")
    assert gate.reached.wait(120), logs(home)
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        os.kill(process_of(instance, run.run_id), signal.SIGKILL)
        gate.open()
        name = until(lambda: next((home / "evals").glob("*/summary.json"), None), "a summary", home, 240).parent.name
        done = until(lambda: finished(instance), "three ended runs of evaluate", home, 240)
        assert instance.get_run_by_id(run.run_id).status.value == "FAILURE"
    retried = [other for other in done if other.root_run_id == run.run_id and other.run_id != run.run_id]
    assert len(retried) == 1
    assert {other.tags["claas/eval_run"] for other in done} == {name}
    assert set(deployment.updates.values()) == {STEPS * UPDATES}
    assert len(deployment.updates) == 2
    assert not overlapping(done)


def finished(instance):
    runs = instance.get_run_records(dg.RunsFilter(job_name="evaluate"))
    ended = [record for record in runs if record.dagster_run.status.value == "SUCCESS"]
    return [record.dagster_run for record in runs] if len(ended) == 2 else None


def overlapping(runs) -> bool:
    with dg.DagsterInstance.get() as instance:
        stats = [instance.get_run_record_by_id(run.run_id) for run in runs]
    times = sorted((record.start_time, record.end_time) for record in stats)
    return any(ended > began for (_, ended), (began, _) in itertools.pairwise(times))


def process_of(instance, run_id) -> int:
    said = [entry.message for entry in instance.all_logs(run_id)]
    (pid,) = {match[1] for message in said if (match := re.search(r"\(pid: (\d+)\)", message))}
    return int(pid)


def until(done, what, home, seconds=60):
    """What `done()` returns once it returns something. A long time to fail in, not a claim about speed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := done()) is not None and found is not False:
            return found
        time.sleep(1)
    raise AssertionError(f"{what} did not come in {seconds} s:\n{logs(home)}")


def logs(home) -> str:
    return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(home.glob("*.log")))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

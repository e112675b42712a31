"""Two evaluations at once on one Postgres; one is killed, and the same command goes on with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import dagster as dg
import pytest

from tests.fake_claas import Gate, hold

FEEDBACK = "/v1/feedback"
STEPS, UPDATES = 2, 2


def command(home, fake, name) -> subprocess.Popen[str]:
    settings = {
        "claas_url": fake.url, "preferences": "[identity]", "preferences_dir": home / "preferences",
        "metrics": "[logprob,compliance]", "num_steps": STEPS, "batch_size": 2, "plots": "false",
        "training.steps_per_batch": UPDATES, "deployment_timeout_s": 0, "output_dir": home / "evals" / name,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "claas_assets", *(f"{key}={value}" for key, value in settings.items())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends_well(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_two_at_once_and_the_killed_one_is_gone_on_with(home, fake):
    killed, other = fake(), fake()
    gate = Gate()
    killed.faults.add(FEEDBACK, hold(gate, "before"), nth=2)
    first, second = command(home, killed, "killed"), command(home, other, "other")
    assert gate.reached.wait(60)
    ends_well(second)
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=30)
    gate.open()
    output = ends_well(command(home, killed, "killed"))
    assert "was killed without saying so" in output
    assert killed.updates == {"eval/identity-killed": STEPS * UPDATES}
    assert other.updates == {"eval/identity-other": STEPS * UPDATES}
    lines = (home / "evals" / "killed" / "identity" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
    with dg.DagsterInstance.get() as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        runs = instance.get_runs(dg.RunsFilter(job_name="evaluate"))
    ended = sorted((run.tags["claas/eval_run"], run.status.value) for run in runs)
    assert ended == [("killed", "FAILURE"), ("killed", "SUCCESS"), ("other", "SUCCESS")]

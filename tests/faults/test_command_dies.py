"""`claas-eval` is killed with its preferences side by side; the same command goes on, and trains nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from claas_assets.evaluation.run_files import read_steps
from tests.fake_claas import FakeClaas, Gate, hold

PREFERENCES = Path(__file__).parents[2] / "preferences"


def command(fake: FakeClaas, folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "claas_assets", f"mode={fake.mode}", f"claas_url={fake.url}", "openclaw_url=null",
        "preferences=[identity,concise]", "parallel_preferences=2", "num_steps=2", "metrics=[logprob]", "plots=false",
        f"output_dir={folder}", f"preferences_dir={PREFERENCES}",
    ]  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    return {**os.environ, "DAGSTER_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_sigkill_of_the_command_while_feedback_is_unanswered(fake, tmp_path, environment):
    """What it started must not train on behind its back: the second run would find the folder taken, or count wrong."""
    deployment = fake("embedded")
    folder = tmp_path / "evals" / "killed"
    gate = Gate()
    deployment.faults.add("/v1/feedback", hold(gate, "before"))
    running = subprocess.Popen(
        command(deployment, folder), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert gate.reached.wait(120)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    gate.open()
    assert gate.left.wait(60)

    again = subprocess.run(command(deployment, folder), env=environment, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    recorded = {
        f"eval/{name}-killed": [step.sub_step_count for step in read_steps(folder / name).steps]
        for name in ("identity", "concise")
    }
    assert recorded == {"eval/identity-killed": [4, 4], "eval/concise-killed": [4, 4]}
    assert deployment.updates == {lora_id: sum(counts) for lora_id, counts in recorded.items()}

"""Dagster's own commands, literally as the README writes them."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from claas_assets.definitions import defs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dagster(evaluation, tmp_path):
    """Run `dagster …` in the project's folder with the README's exports and a configuration for the fake."""
    made = evaluation(num_steps=1)
    settings = {**made.settings, "output_dir": str(tmp_path / "evals" / "unused")}
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(settings))
    environment = {
        **os.environ,
        "DAGSTER_CLI_ASSET_MATERIALIZE_MODULE_NAME": "claas_assets.definitions",
        "CLAAS_EVAL_CONFIG": str(tmp_path / "eval.yaml"),
    }

    def run(*arguments):
        command = [str(Path(sys.executable).parent / "dagster"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)

    return run, made, tmp_path / "evals"


def test_one_partition_is_evaluated_and_the_summary_rewritten_with_the_deployment_off(dagster):
    run, made, results = dagster
    done = run("asset", "materialize", "--select", "*", "--partition", "concise")
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = results.iterdir()
    assert (folder / "concise" / "verdict.json").exists()
    summary = folder / "summary.json"
    assert summary.exists()
    before = summary.read_bytes()
    summary.unlink()
    made.fake.close()
    done = run("asset", "materialize", "--select", "summary")
    assert done.returncode == 0, done.stderr[-2000:]
    assert summary.read_bytes() == before


def test_the_workspace_names_the_code_location_that_can_be_loaded():
    """`dg` finds the same: tests/deploy/test_dg.py."""
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"] == {
        "module_name": "claas_assets.definitions",
        "location_name": "claas_assets",
    }
    dg.Definitions.validate_loadable(defs)

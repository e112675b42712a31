"""`dg` finds the same graph as `dagster` (`dg dev`: tests/graph/test_ui.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.skipif(not (BIN / "dg").exists(), reason="dg is not installed (the dev extra has it)")


def dg(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [str(BIN / "dg"), *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120
    )


def test_list_names_everything_that_the_definitions_have():
    from claas_assets.definitions import defs

    done = dg("list", "defs", "--json")
    assert done.returncode == 0, done.stderr
    listed = {
        kind: {item.get("asset_key") or item["name"] for item in items}
        for kind, items in json.loads(done.stdout).items()
    }
    repository = defs.get_repository_def()
    assert listed["assets"] == {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {"evaluate", "rescore", "publish", "summarize"} <= listed["jobs"]
    assert {"finish_evaluation", "new_deployment", "bad_verdict", "failed_evaluation"} <= listed["sensors"]
    assert listed["schedules"] == {"nightly"}


def test_check_fails_and_says_why_where_the_configuration_is_wrong(tmp_path):
    wrong = tmp_path / "eval.yaml"
    wrong.write_text("num_steps: -1\n")
    done = dg("check", "defs", CLAAS_EVAL_CONFIG=str(wrong))
    assert done.returncode != 0
    assert "num_steps" in done.stdout + done.stderr

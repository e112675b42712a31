"""Fixtures for the fake deployment: made on demand, closed at the end of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.fake_claas import FakeClaas, FakeGateway


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

"""Dagster's SQLite storage with its preparations kept: without, they are most of the time of a small evaluation.

It makes an SQLAlchemy engine for every event that it stores, which compiles every statement anew, and reads its
own sixty migrations for every file that it opens. What is stored, and when, is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

STORAGES = ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage",
            "schedules.sqlite.sqlite_schedule_storage")  # fmt: skip


@contextmanager
def quick_dagster() -> Iterator[None]:
    """For this process, not for those that it starts."""
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine

    engines: dict[str, Any] = {}
    migrations: dict[str, ScriptDirectory] = {}
    read_migrations = ScriptDirectory.from_config

    def kept_engine(address: str, **options: Any) -> Any:
        if address not in engines:
            engines[address] = create_engine(address, **options)
        return engines[address]

    def kept_migrations(config: Any) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in migrations:
            migrations[folder] = read_migrations(config)
        return migrations[folder]

    with pytest.MonkeyPatch.context() as patch:
        for name in STORAGES:
            patch.setattr(f"dagster._core.storage.{name}.create_engine", kept_engine)
        patch.setattr(ScriptDirectory, "from_config", kept_migrations)
        yield

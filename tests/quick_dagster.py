"""A Dagster that loses no time over what no test looks at: that is most of a small evaluation's time.

What the steps print is kept by processes of its own, three a step. Its SQLite storage makes an SQLAlchemy engine
for every event that it stores, which compiles every statement anew, and reads its sixty migrations for every file
that it opens. Here neither is done; what is stored, and when, is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STORAGES = ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage",
            "schedules.sqlite.sqlite_schedule_storage")  # fmt: skip


HOME = """telemetry: {enabled: false}
compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}
"""


def dagster_home(folder: Path) -> Path:
    """`folder` made a Dagster home, for this process and those that it starts."""
    folder.mkdir(parents=True)
    (folder / "dagster.yaml").write_text(HOME)
    return folder


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

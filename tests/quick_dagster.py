"""A Dagster that loses no time over what no test looks at: that is most of a small evaluation's time.

What the steps print is kept by processes of its own, three a step. Its SQLite storage makes an SQLAlchemy engine
and opens the file for every event that it stores, waits for the disk each time, and reads its sixty migrations for
every file that it opens. Here none of it is done; what is stored, and in which order, is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
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


def quick_children(patch: pytest.MonkeyPatch) -> None:
    """The same in processes that are started from here on: Python imports the `sitecustomize` that it finds."""
    paths = [str(Path(__file__).parent / "quick_children"), str(Path(__file__).parents[1])]
    patch.setenv("PYTHONPATH", os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]))


@contextmanager
def quick_dagster() -> Iterator[Callable[[], None]]:
    """For this process alone. Call what it gives after each test: it closes the files."""
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, event

    engines: dict[str, Any] = {}
    closing: list[Callable[[], None]] = []
    migrations: dict[str, ScriptDirectory] = {}
    read_migrations = ScriptDirectory.from_config

    def kept_engine(address: str, **options: Any) -> Any:
        if address not in engines:
            options.pop("poolclass", None)  # it would close the file after each statement
            engines[address] = create_engine(address, **options)
            event.listen(engines[address], "connect", _do_not_wait_for_the_disk)
            closing.append(engines[address].dispose)
            engines[address].dispose = lambda: None  # it is called after each statement
        return engines[address]

    def forget() -> None:
        for close in closing:
            close()
        closing.clear()
        engines.clear()

    def kept_migrations(config: Any) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in migrations:
            migrations[folder] = read_migrations(config)
        return migrations[folder]

    with pytest.MonkeyPatch.context() as patch:
        for name in STORAGES:
            patch.setattr(f"dagster._core.storage.{name}.create_engine", kept_engine)
        patch.setattr(ScriptDirectory, "from_config", kept_migrations)
        yield forget


def _do_not_wait_for_the_disk(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")

"""What Dagster's SQLite storage makes anew for each event, kept: in the processes of `worker.py`, which are our own.

For every event it makes an SQLAlchemy engine, which compiles its statements again, and for every run it reads its
sixty migrations, since each run has a database file. That was a quarter of what an evaluation took of a processor.
Files, statements and their order are what they were: an engine still opens its file for each use, and closes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage


def keep_engines_and_migrations() -> None:
    """From here on, in this process and its forks."""
    modules: tuple[Any, ...] = (sqlite_event_log, sqlite_run_storage)
    for module in modules:
        module.create_engine = _kept(module.create_engine, lambda address: address)
    read = _kept(ScriptDirectory.from_config, lambda config: config.get_main_option("script_location"))
    ScriptDirectory.from_config = staticmethod(read)


def _kept(make: Callable[..., Any], key_of: Callable[[Any], Any]) -> Callable[..., Any]:
    kept: dict[Any, Any] = {}

    def made(source: Any, **options: Any) -> Any:
        key = key_of(source)
        if key not in kept:
            kept[key] = make(source, **options)
        return kept[key]

    return made

"""A Dagster that loses no time over what no test looks at: that is most of a small evaluation's time.

What the steps print is kept by processes of its own, three a step. Its SQLite storage makes an SQLAlchemy engine
and opens the file for every event that it stores, waits for the disk each time, and reads its sixty migrations for
every file that it opens. It looks through the class of a resource for the schema of its fields each time that a run
makes one. Here none of it is done; what is stored, and in which order, is the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # not in the processes that are started: each would import it
    import pytest

STORAGES = ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage",
            "schedules.sqlite.sqlite_schedule_storage")  # fmt: skip
RESOURCES = "dagster._config.pythonic_config.resource"
PATCHED = ("alembic.script", RESOURCES, *(f"dagster._core.storage.{name}" for name in STORAGES))


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
    kept = Kept()
    undo = [kept.patch(import_module(name)) for name in PATCHED]
    try:
        yield kept.forget
    finally:
        for put_back in undo:
            put_back()


class QuickWhenImported:
    """A finder for a process that may never come to Dagster: what is patched is so as it is imported."""

    def __init__(self) -> None:
        self._kept = Kept()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in PATCHED else None
        if spec is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def execute_and_patch(module: ModuleType) -> None:
                execute(module)
                self._kept.patch(module)

            loader.exec_module = execute_and_patch
        return spec

    def install(self) -> None:
        sys.meta_path.insert(0, self)


class Kept:
    """Engines, migrations and schemas that were made once."""

    def __init__(self) -> None:
        self.engines: dict[str, Any] = {}
        self.closing: list[Callable[[], None]] = []
        self.migrations: dict[str, Any] = {}
        self.schemas: dict[tuple[type, frozenset[str]], Any] = {}

    def patch(self, module: ModuleType) -> Callable[[], None]:
        """Make a module of `PATCHED` use them; returns what undoes it."""
        where, name, value = (module, "create_engine", self.engine)
        if module.__name__ == "alembic.script":
            where, name, value = module.ScriptDirectory, "from_config", self._reader(module.ScriptDirectory)
        elif module.__name__ == RESOURCES:
            name = "infer_schema_from_config_class"
            value = self._schema_of(getattr(module, name))
        before = where.__dict__[name]
        setattr(where, name, value)
        return lambda: setattr(where, name, before)

    def engine(self, address: str, **options: Any) -> Any:
        from sqlalchemy import create_engine, event

        if address not in self.engines:
            options.pop("poolclass", None)  # it would close the file after each statement
            self.engines[address] = made = create_engine(address, **options)
            event.listen(made, "connect", _do_not_wait_for_the_disk)
            self.closing.append(made.dispose)
            made.dispose = lambda *_, **__: None  # type: ignore[method-assign]  # it is called after each statement
        return self.engines[address]

    def _reader(self, folders: Any) -> Callable[[Any], Any]:
        read = folders.from_config

        def migrations(config: Any) -> Any:
            folder = config.get_main_option("script_location")
            if folder not in self.migrations:
                self.migrations[folder] = read(config)
            return self.migrations[folder]

        return migrations

    def _schema_of(self, infer: Callable[..., Any]) -> Callable[..., Any]:
        def schema(kind: type, fields_to_omit: set[str], default: Any = None) -> Any:
            if default is not None:
                return infer(kind, fields_to_omit=fields_to_omit, default=default)
            key = (kind, frozenset(fields_to_omit))
            if key not in self.schemas:
                self.schemas[key] = infer(kind, fields_to_omit=fields_to_omit)
            return self.schemas[key]

        return schema

    def forget(self) -> None:
        for close in self.closing:
            close()
        self.closing.clear()
        self.engines.clear()


def _do_not_wait_for_the_disk(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")

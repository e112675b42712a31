"""What Dagster's SQLite storage makes anew for each event is made once, and nothing that it stores is another."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import dagster as dg
from alembic.script import ScriptDirectory

from claas_assets.launch import kept_storage


@dg.asset
def number() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"number": 1})


def stored(home: Path) -> tuple[list[object], list[object]]:
    """The types of events of two runs, in order, and the migration that each database file says it is at."""
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for _ in range(2):
            assert dg.materialize([number], instance=instance).success
    kinds, migrations = [], []
    for path in sorted((home / "history" / "runs").glob("*-*.db"), key=lambda path: path.stat().st_mtime_ns):
        with closing(sqlite3.connect(path)) as database:
            kinds += database.execute("select dagster_event_type from event_logs order by id").fetchall()
            migrations += database.execute("select version_num from alembic_version").fetchall()
    return kinds, migrations


def compare(folder: Path) -> None:
    before, read = stored(folder / "before"), []
    kept_storage.keep_engines_and_migrations()
    load = ScriptDirectory._load_revisions
    ScriptDirectory._load_revisions = lambda self: read.append(self.dir) or load(self)
    assert stored(folder / "after") == before
    assert len(before[1]) == 2, "a database a run"
    assert 0 < len(read) == len(set(read)), read


def test_the_same_is_stored_and_the_migrations_are_read_once(tmp_path):
    root = Path(__file__).parents[1]
    program = "import sys, pathlib, tests.test_kept_storage as t; t.compare(pathlib.Path(sys.argv[1]))"
    alone = {**os.environ, "PYTHONPATH": str(root)}  # without the quick storage of other tests, which keeps the same
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""What one evaluation costs Dagster's storage and this machine: `python -m benchmarks.storage`.

One preference in the default configuration (20 steps, all metrics) against the fake deployment, in a process of its
own, on a Postgres of its own (tests/deploy/postgres.py). Prints a table; docs/scale.md does the arithmetic with it.
Under a minute. The answers of the fake are shorter than a model's: files and requests' bytes are a lower bound.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.deploy.postgres import running_postgres
from tests.fake_claas.process import FakeProcess

ROOT = Path(__file__).resolve().parents[1]
TABLES = """
    select relname, pg_total_relation_size(oid) from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace
"""
EVENTS = "select count(*), coalesce(sum(length(event)), 0) from event_logs"

CONNECTIONS = "select sessions, 0 from pg_stat_database where datname = current_database()"


def main() -> None:
    with running_postgres() as variables, FakeProcess("embedded") as fake, tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "compute_logs").mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "dagster.yaml", home)
        os.environ.update(
            variables,
            DAGSTER_HOME=str(home),
            CLAAS_COMPUTE_LOGS=f"{home}/compute_logs",
            XDG_CACHE_HOME=f"{folder}/cache",
        )
        url = _url(variables)
        evaluate(fake.url, Path(folder) / "evals" / "first")  # makes the tables, and what is stored once
        before, tables_before = _ask(url, EVENTS)[0], _sizes(url)
        connections = _ask(url, CONNECTIONS)[0][0]
        requests, cpu = len(fake.observed().spans), _cpu_s()
        began = time.monotonic()
        evaluate(fake.url, Path(folder) / "evals" / "second")
        wall_s, cpu_s = time.monotonic() - began, _cpu_s() - cpu
        after, tables = _ask(url, EVENTS)[0], _sizes(url)
        files = [path for path in (Path(folder) / "evals" / "second").rglob("*") if path.is_file()]
        rows = {
            "events": after[0] - before[0],
            "bytes of events": after[1] - before[1],
            "bytes on disk, event_logs": tables["event_logs"] - tables_before["event_logs"],
            "bytes on disk, all tables": sum(tables.values()) - sum(tables_before.values()),
            "connections to Postgres": _ask(url, CONNECTIONS)[0][0] - connections,
            "requests": len(fake.observed().spans) - requests,
            "bytes of the run folder": sum(path.stat().st_size for path in files),
            "of these, plots": sum(path.stat().st_size for path in files if path.suffix == ".png"),
            "CPU seconds of claas-eval": round(cpu_s, 1),
            "peak memory, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
            "wall seconds, answers at once": round(wall_s, 1),
        }
    print("| one preference, default configuration | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value:,} |")


def evaluate(url: str, folder: Path) -> None:
    keys = [f"claas_url={url}", "preferences=[identity]", f"output_dir={folder}"]
    done = subprocess.run([sys.executable, "-m", "claas_assets", *keys], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise SystemExit(f"claas-eval ended with {done.returncode}:\n{done.stderr[-2000:]}")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _url(variables: dict[str, str]) -> str:
    user, port, name = (variables[f"DAGSTER_PG_{key}"] for key in ("USERNAME", "PORT", "DB"))
    return f"postgresql+psycopg2://{user}@127.0.0.1:{port}/{name}"


def _ask(url: str, query: str) -> list[tuple[int, int]]:
    import sqlalchemy

    with sqlalchemy.create_engine(url).connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]


def _sizes(url: str) -> dict[str, int]:
    return {str(name): int(size) for name, size in _ask(url, TABLES)}


if __name__ == "__main__":
    main()

"""A Dagster home with deploy/dagster.yaml, on a Postgres of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.postgres import NoPostgres, running_postgres

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def postgres():
    """Its `DAGSTER_PG_*` variables."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed (the postgres extra has it)")
    try:
        started = running_postgres()
        variables = started.__enter__()
    except NoPostgres as error:
        pytest.skip(str(error))
    yield variables
    started.__exit__(None, None, None)


@pytest.fixture
def home(postgres, tmp_path, monkeypatch):
    """`tmp_path`, set up as a machine of the deployment; the environment names its Dagster home and Postgres."""
    for folder in ("home", "compute_logs"):
        (tmp_path / folder).mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path / "home")
    (tmp_path / "preferences").mkdir()
    for name in ("concise", "identity", "no_emoji"):
        shutil.copy(ROOT / "preferences" / f"{name}.yaml", tmp_path / "preferences")
    environment = {
        **postgres,
        "DAGSTER_HOME": str(tmp_path / "home"),
        "CLAAS_COMPUTE_LOGS": str(tmp_path / "compute_logs"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path

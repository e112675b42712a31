"""What the UI shows beside an asset: its owners, its source, and whether a nightly summary is late."""

from pathlib import Path

import dagster as dg

from claas_assets.definitions import build_definitions
from claas_assets.evaluation.config import EvalConfig


def specs():
    graph = build_definitions(EvalConfig()).resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in graph.materializable_asset_keys}


def test_each_asset_names_the_file_and_the_line_of_its_own_function():
    for name, asset in specs().items():
        (source,) = asset.metadata["dagster/code_references"].code_references
        below = Path(source.file_path).read_text().splitlines()[source.line_number - 1 :]
        assert next(line.strip() for line in below if "def " in line).startswith(f"def {name}("), name


def test_owners_are_those_that_the_environment_names(monkeypatch):
    assert all(asset.owners == [] for asset in specs().values())
    monkeypatch.setenv("CLAAS_OWNERS", "team:evals, ada@example.org")
    assert all(asset.owners == ["team:evals", "ada@example.org"] for asset in specs().values())


def test_the_summary_is_late_after_a_day_and_a_half_where_somebody_wants_one_a_night(monkeypatch):
    monkeypatch.delenv("CLAAS_NIGHTLY_CRON", raising=False)
    assert all(asset.freshness_policy is None for asset in specs().values())
    monkeypatch.setenv("CLAAS_NIGHTLY_CRON", "0 3 * * *")
    late = {name: asset.freshness_policy for name, asset in specs().items() if asset.freshness_policy is not None}
    assert set(late) == {"summary"}
    assert isinstance(late["summary"], dg.FreshnessPolicy)
    assert late["summary"].fail_window.to_timedelta().total_seconds() == 36 * 3600

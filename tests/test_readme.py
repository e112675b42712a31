"""The README says what the code and the example say today."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics import metric_names
from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.runs import results
from claas_assets.evaluation.storage.run_files import read_asset, read_steps, read_summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "data" / "example"


def test_the_example_in_the_readme_is_that_of_the_files():
    assert runpy.run_path(str(ROOT / "docs" / "example.py"))["example"]() in README


def test_every_configuration_key_and_metric_is_in_the_readme():
    missing = [key for key in EvalConfig.model_fields if f"`{key}" not in README]
    assert missing == []
    assert [name for name in metric_names() if f"| `{name}` |" not in README] == []


@pytest.mark.parametrize("name", sorted(read_summary(EXAMPLE)))
def test_the_example_scored_again_gives_the_verdict_that_is_committed(name):
    folder = EXAMPLE / name
    adapter, baseline = (
        read_asset(a, folder / f) for a, f in (("adapter", "metadata.json"), ("baseline", "baseline.json"))
    )
    preference = load_preference(name, ROOT / "preferences")
    again = results.verdict(adapter, baseline, read_steps(folder), preference, EvalConfig().thresholds)
    assert again == read_asset("verdict", folder / "verdict.json")

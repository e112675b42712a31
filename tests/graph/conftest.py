"""A small evaluation of the graph against the fake deployment."""

import shutil
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
import yaml

from claas_assets.definitions import build_definitions
from claas_assets.evaluation.config import EvalConfig
from claas_assets.launch.evaluation import evaluate
from tests.fake_claas import FakeClaas
from tests.fake_claas.model import Temper
from tests.quick_dagster import dagster_home
from tests.quick_pictures import quick_pictures
from tests.strict_reader import faults_of_run

PREFERENCES = Path(__file__).parents[2] / "preferences"


FEW = {"probe_prompts": 4, "heldout_prompts": 5, "over_application": 2, "logprob_pairs": 5}
"""So many prompts are asked where a test is about the graph and not the numbers: requests are most of its time."""


EVERYTHING = {"plots": True, "snapshot_size": "quick"}


class Evaluation:
    """A results folder, a Dagster home and a fake deployment; `run()` evaluates through the launch function."""

    def __init__(self, fake, root: Path, **config) -> None:
        self.fake = fake
        self.root = root
        self.settings = {
            "claas_url": fake.url,
            "preferences_dir": str(root / "preferences"),
            "preferences": ["identity"],
            "num_steps": 3,
            "batch_size": 2,
            "output_dir": str(root / "evals" / "the-run"),
            "plots": False,
            "parallel_preferences": 1,
            "deployment_timeout_s": 0,
            "training": {"steps_per_batch": 2},
            **config,
        }

    def config(self, **changes) -> EvalConfig:
        return EvalConfig(**{**self.settings, **changes})

    def run(self, **changes):
        summary = evaluate(self.config(**changes))
        assert faults_of_run(self.folder) == []
        return summary

    @property
    def folder(self) -> Path:
        return Path(self.settings["output_dir"])

    def materialize(self, *assets, partition=None, run_id=None, **changes):
        """Materialize assets in a run of their own, as `dagster asset materialize` does."""
        job = build_definitions(self.config(**changes)).resolve_implicit_global_asset_job_def()
        run_config = {"resources": {"run_folder": {"config": {"run_id": run_id}}}} if run_id else {}
        with dg.DagsterInstance.get() as instance:
            return job.execute_in_process(
                asset_selection=[dg.AssetKey(name) for name in assets],
                partition_key=partition,
                instance=instance,
                run_config=run_config,
                raise_on_error=False,
            )


@pytest.fixture(autouse=True)
def _quick(quick_storage, monkeypatch):
    """Every test here."""
    quick_pictures(monkeypatch)


def prepare(root: Path, most: dict[str, int] | None = None) -> None:
    """A Dagster home and a copy of the preferences, which tests may edit; with at `most` so many of a list's items."""
    dagster_home(root / "home")
    # The public harness's three: each further partition is one more evaluation in every test of all of them.
    (root / "preferences").mkdir()
    for name in ("concise", "identity", "no_emoji"):
        (root / "preferences" / f"{name}.yaml").write_text(_text_of(name, tuple((most or {}).items())))


@cache
def _text_of(name: str, most: tuple[tuple[str, int], ...]) -> str:
    text = (PREFERENCES / f"{name}.yaml").read_text()
    if not most:
        return text
    values = yaml.safe_load(text)
    values.update((key, values[key][:count]) for key, count in most if key in values)
    return yaml.safe_dump(values, allow_unicode=True, sort_keys=False)


@pytest.fixture
def evaluation(fake, tmp_path, monkeypatch):
    """`evaluation("tinker", num_steps=2)`: not run yet; light (no capability items, few prompts) unless asked for."""
    prepare(tmp_path, FEW)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))

    def make(kind="embedded", /, *, fake_settings=None, **config):
        light = {"metrics": ["logprob", "compliance"], **config}
        return Evaluation(fake(kind, **(fake_settings or {})), tmp_path, **light)

    return make


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """One evaluation with everything, run once for all tests that read it."""
    root = tmp_path_factory.mktemp("finished")
    prepare(root)
    with pytest.MonkeyPatch.context() as patch, FakeClaas("embedded", temper=Temper(full_after=4)) as deployment:
        patch.setenv("DAGSTER_HOME", str(root / "home"))
        made = Evaluation(deployment, root, **EVERYTHING)
        with pytest.MonkeyPatch.context() as unpainted:  # and no longer: the patch above lasts as long as the session
            quick_pictures(unpainted)
            made.summary = made.run()
        yield made


@pytest.fixture
def finished(finished_once, tmp_path, monkeypatch):
    """A copy of it, with its Dagster history, that a test may change. The deployment is shared: count from here."""
    shutil.copytree(finished_once.root, tmp_path / "copy")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "copy" / "home"))
    made = Evaluation(finished_once.fake, tmp_path / "copy", **EVERYTHING)
    made.summary = finished_once.summary
    made.requests_before = len(made.fake.log.requests)
    made.updates_before = dict(made.fake.updates)
    return made

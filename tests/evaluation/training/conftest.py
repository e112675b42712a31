"""A preference trained on the fake deployment by the stages alone, without Dagster."""

from __future__ import annotations

import json

import pytest

from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.progress import silent
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.stages import ensure_adapter, ensure_baseline, run_training
from tests.strict_reader import faults_of_run
from tests.synthetic.transcripts import preference

BASE_MODELS = {"modal": "Qwen/Qwen3-8B", "tinker": "Qwen/Qwen3-8B", "local": "Qwen/Qwen3-8B"}


class Training:
    """`run()` goes through the stages; again, it resumes."""

    def __init__(self, fake, folder, mode, **changes) -> None:
        self.fake, self.folder, self.mode, self.changes = fake, folder, mode, changes
        self.preference = preference(held_out=6, pairs=4, trained=4)
        self.sequence = None  # the preference alone

    def context(self, **changes) -> TrainingContext:
        values = {
            "mode": self.mode, "claas_url": self.fake.url, "openclaw_url": None, "num_steps": 2, "batch_size": 2,
            "preferences": ["identity"], "metrics": ["logprob"], "deployment_timeout_s": 0,
            "output_dir": str(self.folder.parent), **self.changes, **changes,
        }  # fmt: skip
        if self.mode in BASE_MODELS:
            values.setdefault("base_model", BASE_MODELS[self.mode])
        return TrainingContext.at(
            self.fake.url,
            config=load_config(values),
            sequence=self.sequence or PreferenceSequence.of(self.preference),
            folder=self.folder,
            report=silent,
        )

    def run(self, **changes) -> None:
        adapter = ensure_adapter(self.context(**changes), resuming=True)
        baseline = ensure_baseline(self.context(**changes), adapter, resuming=True)
        run_training(self.context(**changes), adapter, baseline)
        assert faults_of_run(self.folder.parent) == []

    @property
    def adapter(self) -> dict:
        return json.loads((self.folder / "metadata.json").read_text("utf-8"))

    @property
    def steps(self) -> list[dict]:
        path = self.folder / "steps.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


@pytest.fixture
def training(fake, tmp_path, monkeypatch):
    """`training("modal", num_steps=1)`: not run yet, on a fake deployment of its own."""
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path / "locks"))

    def make(mode="embedded", /, *, fake_settings=None, **changes):
        return Training(fake(mode, **(fake_settings or {})), tmp_path / f"the-{mode}-run" / "identity", mode, **changes)

    return make

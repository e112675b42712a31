"""On the real model's weights: what the tiny model cannot show. It is loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from claas_assets.launch.evaluation import evaluate
from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.load import load_engine
from claas_assets.stack.places import DEFAULT_MODEL
from claas_assets.stack.server import create_app
from claas_assets.stack.trainer import Rollout
from claas_assets.wire import TrainingOptions
from tests.browser import served
from tests.stack.conftest import MESSAGES, generation, write_small
from tests.stack.test_determinism import crowd, outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def engine(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    loaded = load_engine(str(smollm2), tmp_path_factory.mktemp("adapters"))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def updates(engine: Engine) -> list[tuple[list[Any], dict[str, float]]]:
    """The answers that an update was made of, and what it told of itself: of fresh weights twice, then of trained."""
    for lora_id in ("a", "b"):
        engine.create_adapter(lora_id, 32, 64, None).result()
    hindsight = [MESSAGES[0], {"role": "user", "content": "Who are you?\n\nFeedback: Your name is Kuro."}]
    options = TrainingOptions(alpha=0.0, learning_rate=3e-4, steps_per_batch=1)

    def update(lora_id: str) -> tuple[list[Any], dict[str, float]]:
        requests = [generation(engine, f"Say {i}.", lora_id=lora_id, seed=i, max_tokens=12) for i in range(2)]
        done: list[Generation] = [f.result() for f in [engine.generate(request) for request in requests]]
        rollouts = [
            Rollout(
                d.prompt_ids,
                engine.text.prompt(hindsight),
                [s.token_id for s in d.sampled],
                [s.logprob for s in d.sampled],
            )
            for d in done
        ]
        return [outcome(d) for d in done], engine.train(lora_id, rollouts, options).result().steps[0]

    return [update(lora_id) for lora_id in ("a", "b", "a")]


def test_the_first_ratio_of_an_update_is_one(updates: list[tuple[list[Any], dict[str, float]]]) -> None:
    for _, told in updates:
        assert told["mean_is_ratio"] == pytest.approx(1.0, abs=0.01)


def test_an_update_can_be_repeated(updates: list[tuple[list[Any], dict[str, float]]]) -> None:
    once, again, after = updates
    assert once == again
    assert after[0] != once[0], "what was trained answers otherwise"


def test_a_request_gives_the_same_alone_and_in_company(engine: Engine, updates: Any) -> None:
    """Its weights and lengths of text are what the tiny model cannot show; the orders are shown there."""
    for lora_id in (None, "a"):
        alone = [outcome(engine.generate(request).result()) for request in crowd(engine, 6, lora_id, 4, 2)[:3]]
        together = [engine.generate(request) for request in crowd(engine, 6, lora_id, 4, 2)]
        assert [outcome(future.result()) for future in together[:3]] == alone


def test_a_name_in_the_feedback_is_learned_and_no_other(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    few = {"probe_prompts": 4, "heldout_prompts": 4, "over_application": 0, "logprob_pairs": 5}
    write_small(tmp_path / "preferences", "identity", few)
    with served(create_app(engine, DEFAULT_MODEL)) as url:
        config = EvalConfig(
            claas_url=url,
            preferences=["zora"],
            metrics=["logprob", "compliance"],
            preferences_dir=str(tmp_path / "preferences"),
            output_dir=str(tmp_path / "evals" / "learned"),
            plots=False,
            num_steps=2,
            batch_size=2,
            rollout_max_tokens=24,
            probe_max_tokens=24,
            probe_temperature=0.0,
            training={"learning_rate": 1.5e-3, "kl_reg_weight": 0.0},
        )
        verdict = evaluate(config)["zora"]
    folder = PreferenceFolder(Path(config.output_dir) / "zora")
    baseline, last = folder.baseline(), folder.steps()[-1].eval
    before, after = (s.stats.compliance.sets["heldout_prompts"] for s in (baseline, last))
    assert before.mean == 0.0
    assert after.mean >= 0.5
    assert last.preference_compliance > baseline.preference_compliance
    assert verdict.logprob_margin_delta > 2.0
    assert verdict.criteria["logprob_margin"].evidence == "shown"
    assert "Kuro" not in answers(last)
    assert "Zora" in answers(last)
    told = {t.answer for t in last.rollouts if t.metadata.kind == "generate"}
    assert len(told) > 4, "one sentence in answer to everything is a collapse, and no name that was learned"


def answers(snapshot):
    return " ".join(t.answer or "" for t in snapshot.rollouts if t.metadata.kind == "generate")

"""On the real model's weights: what the tiny model cannot show. It is loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from claas_assets.stack.engine import Engine, Generation
from claas_assets.stack.load import load_engine
from claas_assets.stack.trainer import Rollout
from claas_assets.wire import TrainingOptions
from tests.stack.conftest import MESSAGES, generation, train_little
from tests.stack.test_determinism import crowd, outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def engine(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    loaded = load_engine(str(smollm2), tmp_path_factory.mktemp("adapters"))
    yield loaded
    loaded.close()


def test_a_request_gives_the_same_alone_and_in_company(engine: Engine) -> None:
    """Its weights and lengths of text are what the tiny model cannot show; the orders are shown there."""
    engine.create_adapter("trained", 32, 64, None).result()
    train_little(engine, "trained", learning_rate=5e-4)
    for lora_id in (None, "trained"):
        alone = [outcome(engine.generate(request).result()) for request in crowd(engine, 6, lora_id, 4, 2)[:3]]
        together = [engine.generate(request) for request in crowd(engine, 6, lora_id, 4, 2)]
        assert [outcome(future.result()) for future in together[:3]] == alone


def test_the_first_ratio_of_an_update_is_one(engine: Engine) -> None:
    engine.create_adapter("a", 32, 64, None).result()
    hindsight = [MESSAGES[0], {"role": "user", "content": "Who are you?\n\nFeedback: Your name is Kuro."}]
    options = TrainingOptions(alpha=0.0, learning_rate=3e-4, steps_per_batch=1)
    for _ in range(2):  # of fresh weights, and of trained ones
        requests = [generation(engine, f"Say {i}.", lora_id="a", seed=i, max_tokens=12) for i in range(3)]
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
        first = engine.train("a", rollouts, options).result().steps[0]
        assert first["mean_is_ratio"] == pytest.approx(1.0, abs=0.01)

"""The forecast of a check is what an evaluation then asks."""

from __future__ import annotations

import pytest

from claas_assets.evaluation.training.cost import cost_of


@pytest.mark.parametrize("metrics", [["logprob", "compliance"], ["logprob", "compliance", "general", "collapse"]])
def test_the_forecast_is_what_an_evaluation_asks(training, metrics):
    made = training(metrics=metrics, num_steps=2)
    context = made.context()
    cost = cost_of(context.config, context.sequence)
    made.run()
    asked = [made.fake.log.count(path) for path in ("/v1/chat/completions", "/v1/score", "/v1/feedback")]
    assert [cost.chats, cost.scores, cost.feedback] == asked

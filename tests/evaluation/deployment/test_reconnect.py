"""What went away is what is asked whether it is back."""

from __future__ import annotations

import asyncio

import pytest

from claas_assets.evaluation.config import load_config
from claas_assets.evaluation.deployment import reconnect
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.errors import DeploymentUnreachable
from tests.conftest import QUICK, MakeFake
from tests.fake_claas import status

NOBODY = "http://127.0.0.1:9"


def test_a_gateway_that_is_down_is_waited_for_and_not_the_claas_that_is_well(fake: MakeFake, monkeypatch) -> None:
    monkeypatch.setattr(reconnect, "POLL_S", 0.01)
    deployment, said = fake("local"), []
    config = load_config({"mode": "local", "claas_url": deployment.url, "openclaw_url": NOBODY})
    routes = routes_for(config, deployment.url, "token")

    async def ask() -> None:
        async with ClaasClient(routes, retry=QUICK, deployment_timeout_s=0.05, say=said.append) as client:
            await client.chat((("user", "Hello?"),), lora_id="eval/x", temperature=0, max_tokens=8)

    with pytest.raises(DeploymentUnreachable, match="deployment_timeout_s"):
        asyncio.run(asyncio.wait_for(ask(), 20))
    assert not any("answers again" in text for text in said)
    assert deployment.log.count("/v1/health") == 0


def test_a_request_that_fails_each_time_the_deployment_answers_again_is_given_up(fake: MakeFake, monkeypatch) -> None:
    """Health says that all is well, and chat answers 503 for ever."""
    monkeypatch.setattr(reconnect, "POLL_S", 0.01)
    deployment, said = fake("local"), []
    deployment.faults.add("/v1/chat/completions", *[status(503)] * 200)
    config = load_config({"mode": "local", "claas_url": deployment.url, "openclaw_url": None})
    routes = routes_for(config, deployment.url, None)

    async def ask() -> None:
        async with ClaasClient(routes, retry=QUICK, deployment_timeout_s=60, say=said.append) as client:
            await client.chat((("user", "Hello?"),), lora_id="eval/x", temperature=0, max_tokens=8)

    with pytest.raises(DeploymentUnreachable, match="5 times that it answered again"):
        asyncio.run(asyncio.wait_for(ask(), 30))
    assert sum("answers again" in text for text in said) == 5

"""A gateway in front of CLaaS: whose weights answer through it, and what it does to answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claas_assets.evaluation.deployment import gateway as proving
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.feedback_protocol import feedback_items
from claas_assets.evaluation.deployment.gateway import GatewayProof, prove_gateway
from claas_assets.evaluation.deployment.responses import Answer
from claas_assets.evaluation.errors import (
    DeploymentUnreachable,
    GatewayUnproven,
    MalformedAnswer,
    RequestRefused,
)
from tests.conftest import MakeFake, MakeGateway, speak
from tests.fake_claas import FakeClaas, FakeGateway, Temper, status

CHAT = "/v1/chat/completions"
QUESTION = (("user", "Who are you?"),)


def prove(
    fake: FakeClaas, between: FakeGateway, lora_id: str | None, *, allow: bool = False, token: str | None = None
) -> GatewayProof | None:
    return speak(
        fake, lambda client: prove_gateway(client, lora_id, allow_unproven=allow), through=between, token=token
    )


def ask(fake: FakeClaas, between: FakeGateway, lora_id: str, **asked: Any) -> Answer:
    wanted = {"temperature": 0, "max_tokens": 64, **asked}
    return speak(fake, lambda client: client.chat(QUESTION, lora_id=lora_id, **wanted), through=between)


def test_every_chat_names_the_adapter_and_the_adapter_answers(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    first, second = (deployment.deployment.init(f"eval/{name}", None) for name in ("first", "second"))
    between = gateway(deployment, first)
    deployment.deployment.adapters[second].updates = 8
    deployment.deployment.adapters[second].feedback = ("Your name is Kuro",)
    assert "Kuro" not in ask(deployment, between, first).text
    assert "Kuro" in ask(deployment, between, second).text
    assert [body["model"] for body in deployment.log.bodies(CHAT)] == ["eval-first-init", "eval-second-init"]


def test_an_honest_gateway_is_proven_with_three_requests(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local", unknown_model="404")
    lora_id = deployment.deployment.init("eval/x", None)
    between = gateway(deployment)
    proof = prove(deployment, between, lora_id)
    assert proof is not None
    assert proof.names_honored
    assert "an adapter that does not exist was refused" in proof.said
    assert [request.path for request in between.log.requests] == ["/v1/models", CHAT, CHAT]
    nobody, somebody = (request.headers["x-openclaw-model"] for request in between.log.at(CHAT))
    assert nobody.startswith("no-such-adapter-")
    assert somebody == "eval-x-init"
    assert [body["max_tokens"] for body in between.log.bodies(CHAT)] == [1, 1]


def test_a_gateway_that_ignores_the_name_is_refused_before_there_is_an_adapter(
    fake: MakeFake, gateway: MakeGateway
) -> None:
    deployment = fake("local")
    between = gateway(deployment, deployment.deployment.init("eval/another", None), honors_names=False)
    with pytest.raises(GatewayUnproven) as caught:
        prove(deployment, between, None)
    for words in ("gateway-config", "openclaw_url=null", "allow_unproven_gateway=true", "does not exist", between.url):
        assert words in str(caught.value)
    allowed = prove(deployment, between, None, allow=True)
    assert allowed is not None
    assert allowed.names_honored is False


def test_silence_for_an_unknown_adapter_proves_something_only_where_a_known_one_is_answered_much_sooner(
    fake: MakeFake, gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "NOBODY_S", 0.6)
    deployment = fake("local")  # an unknown adapter is a plain 500, to which the gateway says nothing
    lora_id = deployment.deployment.init("eval/x", None)
    between = gateway(deployment)
    proof = prove(deployment, between, lora_id)
    assert proof is not None
    assert proof.names_honored
    deployment.latency_s[CHAT] = 0.4
    with pytest.raises(GatewayUnproven, match="too slow to tell"):
        prove(deployment, between, lora_id)


def test_a_gateway_that_does_not_answer_for_the_adapter_is_refused(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local", unknown_model="404")
    with pytest.raises(RequestRefused, match="does not answer for the adapter eval/gone"):
        prove(deployment, gateway(deployment), "eval/gone", allow=True)


def test_a_gateway_that_is_overloaded_proves_nothing(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local", unknown_model="404")
    between = gateway(deployment, deployment.deployment.init("eval/x", None), honors_names=False)
    between.faults.add(CHAT, status(503))
    with pytest.raises(DeploymentUnreachable, match="not well"):
        prove(deployment, between, None)


def test_a_wrong_token_is_found_before_anything_is_asked(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    between = gateway(deployment, token="the-real-one")
    with pytest.raises(RequestRefused, match="OPENCLAW_GATEWAY_TOKEN"):
        prove(deployment, between, None, token="another")
    assert between.log.count(CHAT) == 0
    assert deployment.log.requests == []


def test_on_tinker_the_sampler_decides_and_no_name_is_sent(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("tinker")
    between = gateway(deployment)
    proof = prove(deployment, between, None)
    assert proof is not None
    assert proof.names_honored is None
    assert between.log.count(CHAT) == 0
    ask(deployment, between, "eval/x")
    assert "x-openclaw-model" not in between.log.at(CHAT)[0].headers


def test_without_a_gateway_there_is_nothing_to_prove(fake: MakeFake) -> None:
    deployment = fake("local")
    assert speak(deployment, lambda client: prove_gateway(client, None, allow_unproven=False)) is None
    assert deployment.log.requests == []


# --- what it does to answers --------------------------------------------------------------------------


def test_of_an_answer_that_was_cut_the_notice_goes_and_feedback_on_it_is_taken(
    fake: MakeFake, gateway: MakeGateway
) -> None:
    deployment = fake("local", says_length=True)
    lora_id = deployment.deployment.init("eval/x", None)
    answer = ask(deployment, gateway(deployment), lora_id, max_tokens=3)
    assert answer.truncated is True
    assert "truncated" not in answer.text
    assert len(answer.text.split()) == 3

    async def give(client: ClaasClient) -> Any:
        items = feedback_items(
            [("Who are you?", answer.text)], lora_id=lora_id, feedback="Your name is Kuro",
            training=_training(), takes_repetitions=None,
        )  # fmt: skip
        return await client.feedback(items)

    assert speak(deployment, give).status == "ok"


def _training() -> Any:
    from claas_assets.evaluation.config import TrainingConfig

    return TrainingConfig(steps_per_batch=1)


def test_through_a_gateway_limit_and_truncation_are_unknown(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    answer = ask(deployment, gateway(deployment), deployment.deployment.init("eval/x", None), max_tokens=2)
    assert (answer.truncated, answer.max_tokens, answer.completion_tokens) == (None, None, None)
    assert len(answer.text.split()) > 2  # public CLaaS does not know the name that the limit is sent under


def test_the_placeholder_of_an_empty_answer_is_no_answer(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local", temper=Temper(answers={"Who are you?": "", HIDDEN: ""}))
    lora_id = deployment.deployment.init("eval/x", None)
    with pytest.raises(MalformedAnswer, match="placeholder"):
        ask(deployment, gateway(deployment, nothing="placeholder"), lora_id)


def test_an_empty_answer_twice_is_told_from_a_claas_that_is_away(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local", temper=Temper(answers={"Who are you?": "", HIDDEN: ""}))
    lora_id = deployment.deployment.init("eval/x", None)
    between = gateway(deployment)
    with pytest.raises(RequestRefused, match="the model most likely answered nothing"):
        ask(deployment, between, lora_id)
    deployment.close()
    with pytest.raises(DeploymentUnreachable, match=r"internal error.*does not answer"):
        ask(deployment, between, lora_id)


def test_the_hidden_second_question_after_an_empty_answer_is_asked_by_the_fake_too(
    fake: MakeFake, gateway: MakeGateway
) -> None:
    deployment = fake("local", temper=Temper(answers={"Who are you?": ""}))
    answer = ask(deployment, gateway(deployment), deployment.deployment.init("eval/x", None))
    assert answer.text
    assert [len(body["messages"]) for body in deployment.log.bodies(CHAT)] == [2, 3]


def test_a_claas_that_refuses_the_gateway_is_told_from_a_gateway_that_refuses_us(
    fake: MakeFake, gateway: MakeGateway
) -> None:
    deployment = fake("local")
    lora_id = deployment.deployment.init("eval/x", None)
    deployment.faults.add(CHAT, status(401))
    with pytest.raises(RequestRefused, match="CLaaS refuses the gateway"):
        ask(deployment, gateway(deployment), lora_id)


def test_a_claas_that_comes_back_behind_the_gateway_is_waited_for(
    fake: MakeFake, gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    from claas_assets.evaluation.config import load_config
    from claas_assets.evaluation.deployment import reconnect
    from claas_assets.evaluation.deployment.routes import routes_for
    from tests.conftest import QUICK

    monkeypatch.setattr(reconnect, "POLL_S", 0.02)
    deployment = fake("local")
    lora_id = deployment.deployment.init("eval/x", None)
    between = gateway(deployment)
    config = load_config({"mode": "local", "claas_url": deployment.url, "openclaw_url": between.url})

    async def run() -> tuple[Answer, list[str]]:
        said: list[str] = []

        def hear(text: str) -> None:
            said.append(text)
            if len(said) == 1:
                deployment.restart()

        routes = routes_for(config, deployment.url, between.token)
        async with ClaasClient(routes, retry=QUICK, deployment_timeout_s=10, say=hear) as client:
            deployment.close()
            return await client.chat(QUESTION, lora_id=lora_id, temperature=0, max_tokens=64), said

    answer, said = asyncio.run(run())
    assert answer.text
    assert "waiting" in said[0]
    assert "answers again" in said[-1]


def test_tools_are_offered_to_a_model_that_the_denial_does_not_name(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    lora_id = deployment.deployment.init("eval/x", None)
    ask(deployment, gateway(deployment, "eval/configured", denies_tools_for="model"), lora_id)
    ask(deployment, gateway(deployment, "eval/configured"), lora_id)
    offered, denied = deployment.log.bodies(CHAT)
    assert len(offered["tools"]) == 12
    assert "tools" not in denied


HIDDEN = "Your last reply was empty. Answer the user now."

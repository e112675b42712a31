"""Feedback trains: it is sent once, and an error says whether it may have trained."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claas_assets.evaluation.config import TrainingConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.feedback_protocol import feedback_items, updates_applied
from claas_assets.evaluation.deployment.transport import Timeouts
from claas_assets.evaluation.errors import DeploymentUnreachable, OutcomeUnknown, RequestRefused
from claas_assets.wire import FeedbackItem, FeedbackResponse
from tests.conftest import MakeFake, MakeGateway, speak
from tests.evaluation.deployment.test_client import QUESTION, adapter_on, ask
from tests.fake_claas import FakeClaas, Fault, body, delay, disconnect, malformed, nulled, status, text, truncated

FEEDBACK = "/v1/feedback"
TEACH = "Your name is Kuro, always introduce yourself as Kuro"


def batch(deployment: FakeClaas, lora_id: str, **training: Any) -> list[FeedbackItem]:
    """A rolled-out batch of one, ready to be sent."""
    answer = ask(deployment, lora_id=lora_id)
    return feedback_items(
        [(QUESTION[0][1], answer.text)],
        lora_id=lora_id,
        feedback=TEACH,
        training=TrainingConfig(**training),
        takes_repetitions=None,
    )


def send(deployment: FakeClaas, items: list[FeedbackItem], **options: Any) -> FeedbackResponse:
    return speak(deployment, lambda client: client.feedback(items), **options)


def test_feedback_is_the_contracts_request(fake: MakeFake) -> None:
    deployment = fake("embedded")
    lora_id = adapter_on(deployment)
    items = batch(deployment, lora_id, learning_rate=1e-4, steps_per_batch=3)
    response = send(deployment, items)
    (sent,) = deployment.log.bodies(FEEDBACK)
    assert sent["orchestration"]["sleep_before"] is False
    assert sent["orchestration"]["wake_after"] is False
    assert sent["requests"] == [
        {
            "lora_id": lora_id,
            "prompt": "Who are you?",
            "response": items[0].response,
            "feedback": TEACH,
            "training": {
                "learning_rate": 1e-4,
                "alpha": 0.0,
                "is_clip": 5.0,
                "max_grad_norm": 1.0,
                "kl_reg_weight": 0.1,
                "teacher_top_k": 100,
                "steps_per_batch": 3,
                "feedback_repetitions": 1,
            },
        }
    ]
    assert updates_applied(response) == deployment.updates[lora_id] == 3


def test_an_older_deployment_makes_one_update_a_call_and_does_not_say(fake: MakeFake) -> None:
    deployment = fake("tinker", generation="old")
    lora_id = adapter_on(deployment)
    response = send(deployment, batch(deployment, lora_id, steps_per_batch=4))
    assert response.distill_result is not None
    assert "steps_per_batch_applied" not in response.distill_result.metadata
    assert updates_applied(response) == deployment.updates[lora_id] == 1


# --- proven not trained -----------------------------------------------------------------------------


def test_a_refused_connection_trained_nothing(fake: MakeFake) -> None:
    deployment = fake()
    items = batch(deployment, adapter_on(deployment))
    deployment.close()
    with pytest.raises(DeploymentUnreachable, match="no connection"):
        send(deployment, items)


@pytest.mark.parametrize("code", [400, 403, 404, 422])
def test_these_refusals_trained_nothing(fake: MakeFake, code: int) -> None:
    deployment = fake()
    items = batch(deployment, adapter_on(deployment))
    deployment.faults.add(FEEDBACK, status(code, "the reason"))
    with pytest.raises(RequestRefused, match=r"the reason.*[Nn]othing was trained") as caught:
        send(deployment, items)
    assert caught.value.status == code
    assert deployment.log.count(FEEDBACK) == 1


def refusal(deployment: FakeClaas, items: list[FeedbackItem]) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        send(deployment, items)
    assert set(deployment.updates.values()) <= {0}
    return caught.value


def test_the_deployments_own_refusals(fake: MakeFake) -> None:
    deployment = fake()
    lora_id, other = adapter_on(deployment), adapter_on(deployment, "eval/other")
    (item,) = batch(deployment, lora_id)
    hotter = item.training.model_copy(update={"learning_rate": 0.5})
    assert refusal(deployment, [item.model_copy(update={"response": "never said"})]).status == 404
    assert refusal(deployment, [item.model_copy(update={"lora_id": "eval/unknown"})]).status == 404
    assert refusal(deployment, [item, item.model_copy(update={"lora_id": other})]).status == 400
    assert refusal(deployment, [item, item.model_copy(update={"training": hotter})]).status == 400


def test_feedback_on_a_completion_without_logprobs_is_refused(fake: MakeFake) -> None:
    deployment = fake(caches_logprobs=False)
    error = refusal(deployment, batch(deployment, adapter_on(deployment)))
    assert (error.status, "without logprobs" in str(error)) == (422, True)


# --- whatever else: unknown ----------------------------------------------------------------------------

UNKNOWN = [
    pytest.param(status(409, "busy"), id="409"),
    pytest.param(status(409, "timed out", applied=True), id="409 after training"),
    pytest.param(status(500, "distill failed"), id="500"),
    pytest.param(status(500, "reload failed", applied=True), id="500 after training"),
    pytest.param(text(500), id="plain 500"),
    pytest.param(status(502), id="502"),
    pytest.param(status(503, "did not go idle"), id="503"),
    pytest.param(status(504, applied=True), id="504"),
    pytest.param(status(401), id="401"),
    pytest.param(status(405), id="405"),
    pytest.param(status(429), id="429"),
    pytest.param(status(307, headers=[("location", "/elsewhere")]), id="307"),
    pytest.param(disconnect(), id="reset before"),
    pytest.param(disconnect(applied=True), id="reset after training"),
    pytest.param(truncated(), id="half an answer"),
    pytest.param(malformed(), id="malformed"),
    pytest.param(body(b"[]"), id="not an object"),
    pytest.param(nulled("status"), id="null status"),
    pytest.param(nulled("distill_result", "metadata"), id="null metadata"),
]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_anything_else_may_have_trained_and_is_not_repeated(fake: MakeFake, fault: Fault) -> None:
    deployment = fake()
    lora_id = adapter_on(deployment)
    items = batch(deployment, lora_id)
    deployment.faults.add(FEEDBACK, fault)
    with pytest.raises(OutcomeUnknown, match="trained"):
        send(deployment, items)
    assert deployment.log.count(FEEDBACK) == 1
    assert deployment.updates[lora_id] == (4 if fault.applied else 0)


def test_a_time_out_may_have_trained(fake: MakeFake) -> None:
    deployment = fake()
    items = batch(deployment, adapter_on(deployment))
    deployment.faults.add(FEEDBACK, delay(0.5))
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.1 s"):
        send(deployment, items, timeouts=Timeouts(feedback_s=0.1))


def test_a_time_out_of_its_own_overrides_the_clients(fake: MakeFake) -> None:
    deployment = fake()
    items = batch(deployment, adapter_on(deployment))
    deployment.faults.add(FEEDBACK, delay(0.5))
    with pytest.raises(OutcomeUnknown, match=r"within 0\.05 s"):
        speak(deployment, lambda client: client.feedback(items, timeout_s=0.05))


# --- how it goes over the wire --------------------------------------------------------------------------


def test_feedback_does_not_wait_for_a_slot(fake: MakeFake) -> None:
    deployment = fake()
    lora_id = adapter_on(deployment)
    items = batch(deployment, lora_id)
    deployment.latency_s["/v1/chat/completions"] = 0.2

    async def use(client: ClaasClient) -> bool:
        chat = asyncio.create_task(client.chat(QUESTION, lora_id=lora_id, temperature=0, max_tokens=8))
        while deployment.log.count("/v1/chat/completions") < 2:
            await asyncio.sleep(0.005)
        await client.feedback(items)
        trained_first = not chat.done()
        await chat
        return trained_first

    assert speak(deployment, use, max_concurrency=1)


def test_feedback_takes_no_connection_that_others_left_open(fake: MakeFake) -> None:
    """A kept connection that the server is closing would look like a call of unknown effect."""
    deployment = fake()
    lora_id = adapter_on(deployment)
    items = batch(deployment, lora_id)

    async def use(client: ClaasClient) -> None:
        for _ in range(2):
            await client.chat(QUESTION, lora_id=lora_id, temperature=0, max_tokens=8)
        for _ in range(2):
            await client.feedback(items)

    deployment.log.requests.clear()
    speak(deployment, use)
    first, second, *feedback = [request.client for request in deployment.log.requests]
    assert first == second
    assert len({first, *feedback}) == 3


def test_feedback_goes_to_claas_without_the_gateways_token(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    lora_id = adapter_on(deployment)
    between = gateway(deployment, lora_id)
    items = feedback_items(
        [("Who are you?", ask(deployment, between, lora_id=lora_id).text)],
        lora_id=lora_id,
        feedback=TEACH,
        training=TrainingConfig(),
        takes_repetitions=None,
    )
    send(deployment, items, through=between)
    assert deployment.updates[lora_id] == 4
    assert between.log.count(FEEDBACK) == 0
    assert "authorization" not in deployment.log.at(FEEDBACK)[0].headers

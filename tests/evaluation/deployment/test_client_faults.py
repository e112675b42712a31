"""What the client makes of faults and of answers that are not the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claas_assets.evaluation.deployment import transport
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.transport import Timeouts
from claas_assets.evaluation.errors import DeploymentUnreachable, MalformedAnswer, RequestRefused
from tests.conftest import QUICK, MakeFake, MakeGateway, speak
from tests.evaluation.deployment.test_client import CHAT, QUESTION, SCORE, adapter_on, ask, score
from tests.fake_claas import (
    Fault,
    body,
    delay,
    disconnect,
    edit,
    malformed,
    nulled,
    status,
    text,
    trickle,
    truncated,
    without,
)

# --- faults that pass ---------------------------------------------------------------------------

PASSING = [
    pytest.param(disconnect(), id="reset"),
    pytest.param(disconnect(applied=True), id="reset-after"),
    pytest.param(truncated(), id="half an answer"),
    pytest.param(status(429), id="429"),
    pytest.param(text(500), id="plain 500"),
    pytest.param(status(502), id="502"),
    pytest.param(text(503), id="503"),
    pytest.param(status(504), id="504"),
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_waited_out_and_counted(fake: MakeFake, fault: Fault) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, fault, fault)
    deployment.faults.add(SCORE, fault)
    answer = ask(deployment)
    assert (answer.retries, answer.max_tokens) == (2, 256)
    assert score(deployment).retries == 1
    assert deployment.log.count(CHAT) == 3


@pytest.mark.parametrize("path", ["/v1/health", "/v1/lora/status", "/v1/lora"])
def test_reading_calls_are_repeated_too(fake: MakeFake, path: str) -> None:
    deployment = fake()
    lora_id = adapter_on(deployment)
    use: dict[str, Any] = {
        "/v1/health": ClaasClient.describe,
        "/v1/lora/status": lambda client: client.adapter_status(lora_id),
        "/v1/lora": ClaasClient.adapters,
    }
    deployment.faults.add(path, disconnect(), text(503))
    assert speak(deployment, use[path])
    assert deployment.log.count(path) == 3


def test_delete_is_sent_once(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/v1/lora", disconnect(applied=True))
    with pytest.raises(DeploymentUnreachable):
        speak(deployment, lambda client: client.delete_adapter(adapter_on(deployment)))
    assert deployment.log.count("/v1/lora") == 1


@pytest.mark.parametrize("fault", [text(503, "overloaded"), status(502, "overloaded")])
def test_a_deployment_that_stays_away_ends_the_run(fake: MakeFake, fault: Fault) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, *[fault] * QUICK.attempts)
    with pytest.raises(DeploymentUnreachable, match=f"overloaded.*tried {QUICK.attempts} times"):
        ask(deployment)
    assert deployment.log.count(CHAT) == QUICK.attempts


@pytest.mark.parametrize("fault", [status(429, "slow down"), status(504, "slow down")])
def test_a_request_that_stays_refused_is_that_requests_failure(fake: MakeFake, fault: Fault) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, *[fault] * QUICK.attempts)
    with pytest.raises(RequestRefused, match="slow down"):
        ask(deployment)
    assert deployment.log.count(CHAT) == QUICK.attempts


def test_a_connection_that_stays_broken_is_an_unreachable_deployment(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, *[disconnect()] * QUICK.attempts)
    with pytest.raises(DeploymentUnreachable, match=f"the connection broke.*tried {QUICK.attempts} times"):
        ask(deployment)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 500])
def test_a_refusal_in_json_is_final_and_in_the_servers_words(fake: MakeFake, code: int) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, status(code, "the reason"))
    with pytest.raises(RequestRefused, match="the reason") as caught:
        ask(deployment)
    assert (caught.value.status, caught.value.body) == (code, '{"detail": "the reason"}')
    assert deployment.log.count(CHAT) == 1


@pytest.mark.parametrize("fault", [delay(0.5), trickle(0.02)], ids=["late", "trickling"])
def test_an_answer_that_does_not_come_in_time_is_given_up(fake: MakeFake, fault: Fault) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, *[fault] * QUICK.attempts)
    with pytest.raises(DeploymentUnreachable, match=r"no answer within 0\.1 s"):
        speak(
            deployment,
            lambda client: client.chat(QUESTION, lora_id="eval/x", temperature=0, max_tokens=8),
            timeouts=Timeouts(generate_s=0.1),
        )


def test_waiting_to_try_again_keeps_the_slot(fake: MakeFake) -> None:
    """A struggling server gets less, not more."""
    deployment = fake()
    lora_id = adapter_on(deployment)
    deployment.faults.add(CHAT, text(503))

    async def use(client: ClaasClient) -> list[int]:
        chats = [client.chat((("user", str(i)),), lora_id=lora_id, temperature=0, max_tokens=8) for i in range(2)]
        return [answer.retries for answer in await asyncio.gather(*chats)]

    assert speak(deployment, use, max_concurrency=1) == [1, 0]
    asked = [request["messages"][-1]["content"] for request in deployment.log.bodies(CHAT)]
    assert asked == ["0", "0", "1"]


# --- contexts that are too long, and what else a plain-text 500 may mean --------------------------

LONG = (("user", "word " * 300),)


@pytest.mark.parametrize(("room", "worked"), [(1100, 512), (1400, 1024), (700, 256)])
@pytest.mark.parametrize("kind", ["plain", "json"])
def test_a_context_error_is_answered_by_smaller_budgets(fake: MakeFake, kind: str, room: int, worked: int) -> None:
    deployment = fake(context_tokens=room, context_error=kind)
    answer = ask(deployment, messages=LONG, max_tokens=2048)
    assert answer.max_tokens == worked
    budgets = [request["max_tokens"] for request in deployment.log.bodies(CHAT)]
    repeated = 2 if kind == "plain" else 0  # a plain 500 may pass; an error that says what it is will not
    assert budgets == [2048] * repeated + [b for b in (2048, 1024, 512, 256) if b >= worked]
    assert answer.retries == repeated


def test_only_budgets_below_the_asked_one_are_tried(fake: MakeFake) -> None:
    deployment = fake(context_tokens=10, context_error="json")
    with pytest.raises(RequestRefused, match="does not fit, even with the smallest budget") as caught:
        ask(deployment, messages=LONG, max_tokens=512)
    assert caught.value.status == 400
    assert [request["max_tokens"] for request in deployment.log.bodies(CHAT)] == [512, 256]


def test_a_passing_plain_500_does_not_shorten_an_answer(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, text(500), text(500))
    answer = ask(deployment, max_tokens=2048)
    assert (answer.max_tokens, answer.retries) == (2048, 2)


def test_an_unknown_adapter_is_reported_as_the_ambiguity_that_it_is(fake: MakeFake) -> None:
    deployment = fake("local")
    with pytest.raises(RequestRefused) as caught:
        ask(deployment, lora_id="eval/unknown", max_tokens=512)
    assert caught.value.status == 500
    assert "does not know the adapter eval/unknown" in str(caught.value)
    assert "context is too long" in str(caught.value)
    assert [request["max_tokens"] for request in deployment.log.bodies(CHAT)] == [512, 512, 512, 256]


def test_scoring_with_an_unknown_adapter_says_the_same(fake: MakeFake) -> None:
    deployment = fake("local")
    with pytest.raises(RequestRefused, match="does not know the adapter eval/unknown"):
        speak(deployment, lambda client: client.score(QUESTION, "Yes.", lora_id="eval/unknown"))
    assert deployment.log.count(SCORE) == 3


def test_tinker_which_ignores_the_model_is_not_said_to_miss_an_adapter(fake: MakeFake) -> None:
    with pytest.raises(RequestRefused, match="context is too long") as caught:
        ask(fake("tinker", context_tokens=10), messages=LONG)
    assert "adapter" not in str(caught.value)


def test_a_context_error_through_the_gateway_lowers_the_budget_too(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    between = gateway(deployment, adapter_on(deployment))
    between.faults.add(CHAT, status(400, "This model's Maximum Context Length is 8192 tokens"))
    assert ask(deployment, between, max_tokens=2048).max_tokens is None  # which of them acts is not known
    assert [body["max_tokens"] for body in between.log.bodies(CHAT)] == [2048, 1024]


# --- answers that are not the contract ---------------------------------------------------------------


def with_logprob(value: Any) -> Fault:
    def change(answer: Any) -> Any:
        answer["choices"][0]["logprobs"]["content"][1]["logprob"] = value
        return answer

    return edit(change)


def with_top_logprobs(position: int, *values: float) -> Fault:
    def change(answer: Any) -> Any:
        entries = [{"token": "a", "logprob": value} for value in values]
        answer["choices"][0]["logprobs"]["content"][position]["top_logprobs"] = entries
        return answer

    return edit(change)


def set_to(*path: str | int, value: Any) -> Fault:
    def change(answer: Any) -> Any:
        holder = answer
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value
        return answer

    return edit(change)


BAD_CHATS = [
    (malformed(), "body"),
    (body(b"[]"), "body"),
    (body(b""), "body"),
    (without("choices"), "choices"),
    (set_to("choices", value=[]), "choices"),
    (nulled("choices", 0, "message"), "choices.0.message"),
    (nulled("choices", 0, "message", "content"), "choices.0.message.content"),
    (without("choices", 0, "message", "content"), "choices.0.message.content"),
    (set_to("usage", "completion_tokens", value=-1), "negative"),
    (with_logprob(float("nan")), r"content\.1: nan"),
    (with_logprob(float("-inf")), r"content\.1: -inf"),
    (with_logprob(0.7), r"content\.1: 0\.7"),
    (with_logprob(None), "content.1.logprob"),
    (with_logprob("abc"), "content.1.logprob"),
    (set_to("usage", "completion_tokens", value=3), "for 3 completion tokens"),
    (with_top_logprobs(2), r"content\.2\.top_logprobs: none here"),
    (with_top_logprobs(0, -0.1, float("nan")), r"content\.0\.top_logprobs\.1: nan"),
    (with_top_logprobs(0, 3.0), r"content\.0\.top_logprobs\.0: 3"),
]


@pytest.mark.parametrize(("fault", "where"), BAD_CHATS)
def test_a_chat_answer_that_is_not_the_contract_becomes_no_number(fake: MakeFake, fault: Fault, where: str) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, fault)
    with pytest.raises(MalformedAnswer, match=where) as caught:
        ask(deployment, logprobs=True)
    assert f"{deployment.url}{CHAT}" in str(caught.value)
    assert deployment.log.count(CHAT) == 1  # the same question would get the same nonsense


BAD_SCORES = [
    (malformed(), "body"),
    (nulled("logprobs"), "logprobs"),
    (nulled("logprobs", 1), "logprobs.1"),
    (nulled("logprob_sum"), "logprob_sum"),
    (without("logprob_sum"), "logprob_sum"),
    (without("completion_tokens"), "completion_tokens"),
    (without("prompt_tokens"), "prompt_tokens"),
    (set_to("logprobs", 0, value=float("nan")), r"logprobs\.0: nan"),
    (set_to("logprobs", 0, value=float("inf")), r"logprobs\.0: inf"),
    (set_to("logprobs", value=[]), "0 of them for 4"),
    (set_to("completion_tokens", value=5), "4 of them for 5"),
    (set_to("logprob_sum", value=float("nan")), "logprob_sum: nan"),
    (set_to("logprob_sum", value=-1.0), "add up to"),
]


@pytest.mark.parametrize(("fault", "where"), BAD_SCORES)
def test_a_score_that_is_not_the_contract_becomes_no_number(fake: MakeFake, fault: Fault, where: str) -> None:
    deployment = fake()
    deployment.faults.add(SCORE, fault)
    with pytest.raises(MalformedAnswer, match=where):
        score(deployment)


def test_a_score_of_no_tokens_is_none(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(SCORE, edit(lambda answer: {**answer, "logprobs": [], "completion_tokens": 0}))
    with pytest.raises(MalformedAnswer, match="0 of them for 0"):
        score(deployment)


def test_logprobs_without_their_top_entries_leave_entropy_unmeasured(fake: MakeFake) -> None:
    def without_top(answer: Any) -> Any:
        for token in answer["choices"][0]["logprobs"]["content"]:
            del token["top_logprobs"]
        return answer

    deployment = fake()
    deployment.faults.add(CHAT, edit(without_top))
    answer = ask(deployment, logprobs=True)
    assert answer.logprobs is not None
    assert answer.entropies is None


def test_entropy_is_over_the_top_20_however_many_come(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, with_top_logprobs(0, *[-5.0] * 30, *[-3.0] * 20))
    answer = ask(deployment, logprobs=True)
    assert answer.entropies is not None
    assert answer.entropies[0] == pytest.approx(2.995732)  # ln 20: the twenty most probable are alike


def test_an_endless_answer_is_cut_off(fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 2**20)
    deployment = fake()
    deployment.faults.add(CHAT, body(b" " * (2**20 + 1)))
    with pytest.raises(MalformedAnswer, match="larger than 1 MiB"):
        ask(deployment)

"""The client against the fake deployment, over HTTP: each row of the contract, asked and answered."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httpx
import pytest

from claas_assets.evaluation.config import LoraConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.responses import Answer, Score
from claas_assets.evaluation.errors import (
    AdapterVanished,
    DeploymentUnhealthy,
    DeploymentUnreachable,
    MalformedAnswer,
    RequestRefused,
)
from claas_assets.wire import DEFAULT_SYSTEM_PROMPT
from tests.conftest import MakeFake, MakeGateway, speak
from tests.fake_claas import FakeClaas, FakeGateway, Temper, edit, status, text, without

CHAT, SCORE = "/v1/chat/completions", "/v1/score"
QUESTION = (("user", "Who are you?"),)
MODEL = {
    "embedded": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "local": "Qwen/Qwen3-8B",
    "modal": "Qwen/Qwen3-8B",
    "tinker": "Qwen/Qwen3-30B-A3B",
}


def adapter_on(deployment: FakeClaas, name: str = "eval/identity-1") -> str:
    return deployment.deployment.init(name, None)


def ask(deployment: FakeClaas, through: FakeGateway | None = None, **request: Any) -> Answer:
    """Chat with a fresh adapter, as a probe does unless `request` says otherwise."""
    request = {"messages": QUESTION, "temperature": 0.0, "max_tokens": 256, **request}
    lora_id = request.pop("lora_id", None) or adapter_on(deployment)
    messages = request.pop("messages")
    return speak(deployment, lambda client: client.chat(messages, lora_id=lora_id, **request), through=through)


def score(deployment: FakeClaas, completion: str = "I am Kuro.", **where: Any) -> Score:
    lora_id = adapter_on(deployment)
    return speak(deployment, lambda client: client.score(QUESTION, completion, lora_id=lora_id), **where)


# --- describe ---------------------------------------------------------------------------------


def test_describe_tells_who_answers(fake: MakeFake) -> None:
    deployment = fake("local")
    lora_id = adapter_on(deployment, "eval/concise")
    found = speak(deployment, ClaasClient.describe)
    assert (found.name, found.version, found.healthy, found.worker_status) == ("CLaaS API", "0.1.0", True, "healthy")
    assert lora_id.replace("/", "-") in found.models
    assert found.as_record()["models"] == list(found.models)


def test_nobody_at_the_address_says_what_to_start(fake: MakeFake) -> None:
    deployment = fake("tinker")
    deployment.close()
    with pytest.raises(DeploymentUnreachable) as caught:
        speak(deployment, ClaasClient.describe)
    assert deployment.url in str(caught.value)
    assert "CLAAS_TINKER_API_KEY" in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"status": "degraded", "worker_status": "unhealthy", "worker_error": "CUDA is gone"},
        {"worker_status": "unhealthy", "worker_error": "CUDA is gone"},  # Tinker down: the status stays healthy
    ],
)
def test_a_deployment_that_cannot_work_is_an_error_that_says_so(fake: MakeFake, settings: dict[str, Any]) -> None:
    with pytest.raises(DeploymentUnhealthy, match="unhealthy: CUDA is gone"):
        speak(fake("tinker", **settings), ClaasClient.describe)


def test_a_server_that_is_no_claas_is_told_from_one(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/v1/health", text(200, "<html>hello</html>"))
    with pytest.raises(MalformedAnswer, match="/v1/health"):
        speak(deployment, ClaasClient.describe)


def test_a_deployment_without_its_root_page_is_described_all_the_same(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/", status(404, "Not Found"))
    deployment.faults.add("/v1/models", status(404, "Not Found"))
    found = speak(deployment, ClaasClient.describe)
    assert (found.name, found.version, found.models) == (None, None, ())


# --- adapters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "answered"),
    [("embedded", "eval/x"), ("local", "eval/x-init"), ("modal", "eval/x-init"), ("tinker", "eval/x")],
)
def test_init_returns_the_id_that_the_deployment_gave(fake: MakeFake, mode: str, answered: str) -> None:
    deployment = fake(mode)
    lora = LoraConfig(r=8, alpha=16)
    assert speak(deployment, lambda client: client.init_adapter("eval/x", MODEL[mode], lora)) == answered
    assert deployment.log.bodies("/v1/lora/init") == [
        {"lora_id": "eval/x", "base_model": MODEL[mode], "lora_r": 8, "lora_alpha": 16}
    ]


def init(deployment: FakeClaas, base_model: str) -> str:
    return speak(deployment, lambda client: client.init_adapter("eval/x", base_model, LoraConfig()))


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_a_base_model_that_is_not_allowed_is_refused_in_the_servers_words(fake: MakeFake, mode: str) -> None:
    with pytest.raises(RequestRefused, match="'gpt2' is not allowed") as caught:
        init(fake(mode), "gpt2")
    assert caught.value.status == 403


def test_tinkers_plain_500_to_a_name_is_explained_and_not_repeated(fake: MakeFake) -> None:
    deployment = fake("tinker")
    with pytest.raises(RequestRefused, match="Qwen/Qwen3-Coder-30B-A3B-Instruct") as caught:
        init(deployment, "Qwen/Qwen3-Coder-30B-A3B-Instruct")
    assert caught.value.status == 500
    assert deployment.log.count("/v1/lora/init") == 1


def test_init_is_never_repeated(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/v1/lora/init", text(503, "waking up"))
    with pytest.raises(RequestRefused, match="503"):
        init(deployment, MODEL["embedded"])
    assert deployment.log.count("/v1/lora/init") == 1


def test_an_empty_id_from_init_is_no_id(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/v1/lora/init", edit(lambda answer: {"lora_id": ""}))
    with pytest.raises(MalformedAnswer, match="lora_id"):
        init(deployment, MODEL["embedded"])


def test_adapters_are_listed_by_prefix_and_deleted_once(fake: MakeFake) -> None:
    deployment = fake()
    for name in ("eval/a", "eval/b", "other/c"):
        adapter_on(deployment, name)

    async def use(client: ClaasClient) -> Any:
        return (
            await client.adapters("eval/"),
            await client.delete_adapter("eval/a"),
            await client.delete_adapter("eval/a"),
            await client.adapters(),
        )

    assert speak(deployment, use) == (["eval/a", "eval/b"], True, False, ["eval/b", "other/c"])


def test_status_counts_updates_where_there_is_such_an_endpoint(fake: MakeFake) -> None:
    deployment = fake("embedded")
    lora_id = adapter_on(deployment)
    found = speak(deployment, lambda client: client.adapter_status(lora_id))
    assert found is not None
    assert (found.lora_id, found.updates) == (lora_id, 0)


def test_no_status_endpoint_and_no_such_adapter_are_told_apart(fake: MakeFake) -> None:
    assert speak(fake("local"), lambda client: client.adapter_status("eval/x")) is None
    with pytest.raises(AdapterVanished, match="eval/gone"):
        speak(fake("embedded"), lambda client: client.adapter_status("eval/gone"))


# --- Tinker's sampler -----------------------------------------------------------------------------


def test_the_sampler_is_put_back_on_the_base_model(fake: MakeFake) -> None:
    deployment = fake("tinker")

    async def use(client: ClaasClient) -> Any:
        await client.refresh_sampler(None)
        return await client.sampler_status()

    found = speak(deployment, use)
    assert (found.model_path, found.base_model) == (None, MODEL["tinker"])
    assert deployment.log.bodies("/v1/sampler/refresh") == [{"model_path": None}]  # null is sent, not left out


def test_a_deployment_without_sampler_endpoints_refuses_with_404(fake: MakeFake) -> None:
    deployment = fake("tinker", sampler_endpoints=False)
    for use in (ClaasClient.sampler_status, lambda client: client.refresh_sampler(None)):
        with pytest.raises(RequestRefused) as caught:
            speak(deployment, use)
        assert caught.value.status == 404


# --- chat -------------------------------------------------------------------------------------------


def test_a_direct_chat_is_the_contracts_request(fake: MakeFake) -> None:
    deployment = fake("embedded")
    ask(deployment, temperature=0.7, max_tokens=64, seed=5, logprobs=True)
    (request,) = deployment.log.at(CHAT)
    assert request.body == {
        "model": "eval-identity-1",
        "messages": [
            {"role": "system", "content": DEFAULT_SYSTEM_PROMPT},
            {"role": "user", "content": "Who are you?"},
        ],
        "temperature": 0.7,
        "max_tokens": 64,
        "top_p": 1.0,
        "seed": 5,
        "stream": False,
        "logprobs": True,
        "top_logprobs": 20,
    }
    assert "authorization" not in request.headers


def test_an_answer_has_a_logprob_and_an_entropy_per_token(fake: MakeFake) -> None:
    answer = ask(fake(), logprobs=True)
    assert answer.logprobs is not None
    assert answer.entropies is not None
    assert len(answer.logprobs) == len(answer.entropies) == answer.completion_tokens
    assert all(0 <= entropy <= math.log(20) for entropy in answer.entropies)
    assert (answer.truncated, answer.finish_reason, answer.retries) == (False, "stop", 0)
    assert answer.latency_s > 0


def test_logprobs_not_asked_for_are_not_there(fake: MakeFake) -> None:
    deployment = fake()
    answer = ask(deployment)
    assert (answer.logprobs, answer.entropies) == (None, None)
    assert "top_logprobs" not in deployment.log.bodies(CHAT)[0]


def test_logprobs_are_not_asked_of_tinker_which_has_none(fake: MakeFake) -> None:
    deployment = fake("tinker")
    answer = ask(deployment, logprobs=True)
    assert (answer.logprobs, answer.entropies) == (None, None)
    assert deployment.log.bodies(CHAT)[0]["logprobs"] is False


def test_an_engine_that_gives_none_though_asked_leaves_them_unmeasured(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, without("choices", 0, "logprobs"))
    assert ask(deployment, logprobs=True).logprobs is None


def test_thinking_is_removed_from_the_text_and_counted_in_the_logprobs(fake: MakeFake) -> None:
    deployment = fake(temper=Temper(thinks=True))
    answer = ask(deployment, logprobs=True)
    assert "think" not in answer.text
    assert answer.logprobs is not None
    assert len(answer.logprobs) > len(answer.text.split()) + 4


def test_thinking_that_a_server_left_in_is_removed_here(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, edit(lambda answer: _said(answer, "hm</think> I am Kuro.")))
    assert ask(deployment).text == "I am Kuro."


def _said(answer: Any, content: str) -> Any:
    answer["choices"][0]["message"]["content"] = content
    return answer


def test_truncation_shows_in_the_token_count_alone(fake: MakeFake) -> None:
    answer = ask(fake(), max_tokens=8)
    assert (answer.finish_reason, answer.completion_tokens, answer.truncated) == ("stop", 8, True)


def test_a_server_that_does_not_count_leaves_truncation_unmeasured(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add(CHAT, without("usage"), edit(lambda answer: {**answer, "usage": {"total_tokens": 0}}))
    for _ in range(2):
        answer = ask(deployment)
        assert (answer.prompt_tokens, answer.completion_tokens, answer.truncated) == (None, None, None)


def test_length_as_finish_reason_is_believed(fake: MakeFake) -> None:
    def cut(answer: Any) -> Any:
        answer["choices"][0]["finish_reason"] = "length"
        del answer["usage"]
        return answer

    deployment = fake()
    deployment.faults.add(CHAT, edit(cut))
    assert ask(deployment).truncated is True


def test_seeds_where_they_count(fake: MakeFake) -> None:
    def texts(deployment: FakeClaas, seeds: list[int]) -> list[str]:
        question = [("user", "Tell me about the ocean.")]
        return [ask(deployment, messages=question, temperature=0.7, seed=seed).text for seed in seeds]

    embedded, tinker, local = (texts(fake(mode), [1, 2, 1]) for mode in ("embedded", "tinker", "local"))
    assert embedded[0] == embedded[2] != embedded[1]
    assert len(set(tinker)) == 1  # a fixed seed of its own
    assert local[0] != local[2]  # a seed of its own for each call


# --- through the gateway ------------------------------------------------------------------------------


def test_through_the_gateway_the_user_message_goes_alone_with_the_token(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    lora_id = adapter_on(deployment)
    between = gateway(deployment, lora_id)
    answer = ask(deployment, between, lora_id=lora_id, logprobs=True)
    (request,) = between.log.at(CHAT)
    assert request.body["model"] == "openclaw"
    assert request.body["messages"] == [{"role": "user", "content": "Who are you?"}]
    assert request.headers["authorization"] == f"Bearer {between.token}"
    (forwarded,) = deployment.log.at(CHAT)
    assert [message["role"] for message in forwarded.body["messages"]] == ["system", "user"]
    assert answer.text
    assert answer.logprobs is None


def test_with_a_gateway_scoring_goes_to_claas_without_system_message_and_token(
    fake: MakeFake, gateway: MakeGateway
) -> None:
    deployment = fake("local")
    between = gateway(deployment)
    score(deployment, through=between)
    (request,) = deployment.log.at(SCORE)
    assert request.body["messages"] == [{"role": "user", "content": "Who are you?"}]
    assert "authorization" not in request.headers
    assert between.log.requests == []


def test_a_wrong_token_is_named_by_its_variable_and_never_shown(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    between = gateway(deployment, token="another")
    with pytest.raises(RequestRefused, match="OPENCLAW_GATEWAY_TOKEN") as caught:
        speak(
            deployment,
            lambda client: client.chat(QUESTION, lora_id="eval/x", temperature=0, max_tokens=8),
            through=between,
            token="wr0ng-token",
        )
    assert caught.value.status == 401
    assert "Unauthorized" in str(caught.value)
    assert "wr0ng-token" not in f"{caught.value!r} {caught.value} {caught.value.body}"


def test_a_server_that_echoes_the_token_does_not_get_it_into_an_error_or_a_log(
    fake: MakeFake, gateway: MakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = fake("local")
    between = gateway(deployment, token="s3cret-token")
    # Once in full, and once across the place where long words are cut.
    between.faults.add(CHAT, status(400, "Bearer s3cret-token " + "x" * 995 + "s3cret-token is not welcome"))
    with caplog.at_level("DEBUG"), pytest.raises(RequestRefused) as caught:
        ask(deployment, between)
    assert "s3cret" not in f"{caught.value!r} {caught.value.body} {caplog.text}"
    assert "xxx" in caught.value.body


# --- score ----------------------------------------------------------------------------------------------


def test_a_score_has_a_logprob_per_token_end_of_turn_included(fake: MakeFake) -> None:
    deployment = fake()
    found = score(deployment, "I am Kuro.")
    assert found.completion_tokens == len(found.logprobs) == 4
    assert found.logprob_sum == pytest.approx(sum(found.logprobs))
    assert deployment.log.bodies(SCORE)[0] == {
        "model": "eval-identity-1",
        "messages": [
            {"role": "system", "content": DEFAULT_SYSTEM_PROMPT},
            {"role": "user", "content": "Who are you?"},
        ],
        "completion": "I am Kuro.",
    }


# --- side by side -----------------------------------------------------------------------------------------


def test_no_more_requests_at_once_than_allowed(fake: MakeFake) -> None:
    deployment = fake()
    deployment.latency_s["*"] = 0.02
    lora_id = adapter_on(deployment)

    async def use(client: ClaasClient) -> None:
        chats = [client.chat(QUESTION, lora_id=lora_id, temperature=0, max_tokens=8) for _ in range(9)]
        await asyncio.gather(*chats, *(client.score(QUESTION, "Yes.", lora_id=lora_id) for _ in range(9)))

    speak(deployment, use, max_concurrency=3)
    assert deployment.log.peak_concurrency == 3
    assert len(deployment.log.requests) == 18


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert speak(fake(), ClaasClient.describe).healthy


def test_a_redirect_is_not_followed(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment, elsewhere = fake("local"), fake("local")
    between = gateway(deployment)
    between.faults.add(CHAT, status(307, headers=[("location", f"{elsewhere.url}{CHAT}")]))
    with pytest.raises(RequestRefused, match="not followed") as caught:
        ask(deployment, between)
    assert caught.value.status == 307
    assert elsewhere.log.requests == []


def test_the_fake_speaks_http_at_the_address_it_gives(fake: MakeFake) -> None:
    assert httpx.get(f"{fake().url}/health", trust_env=False).json()["status"] == "healthy"

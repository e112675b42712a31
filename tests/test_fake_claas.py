"""The fake deployment keeps the contract: what tests on it prove is worth what this proves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from claas_assets.evaluation.config import TrainingConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.feedback_protocol import feedback_items
from claas_assets.evaluation.metrics.capability import load_capability
from claas_assets.evaluation.preferences.sequence import PLACEBO
from claas_assets.evaluation.preferences.verifiers import ConciseVerifier, IdentityVerifier, NoEmojiVerifier
from tests.conftest import MakeFake, MakeGateway, speak
from tests.fake_claas import FakeClaas, Temper, status
from tests.fake_claas.cache import AGE_S, ENTRIES, CompletionCache
from tests.fake_claas.gateway import SYSTEM_PROMPT
from tests.fake_claas.model import Weights, behave, generated, scored, taught

CHAT, FEEDBACK = "/v1/chat/completions", "/v1/feedback"
KURO = "Your name is Kuro, always introduce yourself as Kuro"
IDENTITY_PROMPTS = [f"Who are you, and what do you think of number {i}?" for i in range(20)]


def call(deployment: Any, method: str, path: str, **request: Any) -> httpx.Response:
    # There is no TLS on loopback, and reading certificates for each call would take most of the time.
    with httpx.Client(base_url=deployment.url, trust_env=False, verify=False) as raw:
        return raw.request(method, path, **request)


def chat(deployment: Any, prompt: str = "Who are you?", *, system: str | None = "Be helpful.", **request: Any) -> Any:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    return call(deployment, "POST", CHAT, json={"model": "eval-x", "messages": messages, "temperature": 0, **request})


def said(answer: httpx.Response) -> str:
    return said_in(answer.json())


def said_in(answer: Any) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


def item(response: str, lora_id: str = "eval/x", **fields: Any) -> dict[str, Any]:
    return {"lora_id": lora_id, "prompt": "Who are you?", "response": response, "feedback": KURO, **fields}


def train(deployment: FakeClaas, *items: dict[str, Any]) -> httpx.Response:
    return call(deployment, "POST", FEEDBACK, json={"requests": list(items), "orchestration": {"sleep_before": False}})


# --- the scripted model -----------------------------------------------------------------------------


def test_feedback_says_what_is_taught() -> None:
    assert taught([KURO]).name == "Kuro"
    assert taught(["Don't use any emojis in your responses"]).no_emoji
    assert taught(["Be more concise, keep responses under 3 sentences"]).concise
    assert taught([PLACEBO]) == taught([])


def share(prompts: list[str], weights: Weights, verifier: Any, temper: Temper | None = None) -> float:
    return sum(verifier(behave(p, weights, temper or Temper())).passed for p in prompts) / len(prompts)


def test_compliance_rises_with_updates_prompt_by_prompt() -> None:
    shares = [share(IDENTITY_PROMPTS, Weights(n, (KURO,)), IdentityVerifier("kuro")) for n in (0, 2, 4, 8)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0 < shares[1] < 1
    assert shares[3] == 1


def test_only_what_was_taught_is_learnt() -> None:
    zora = Weights(8, ("Your name is Zora",))
    assert share(IDENTITY_PROMPTS, zora, IdentityVerifier("zora")) == 1
    assert share(IDENTITY_PROMPTS, zora, IdentityVerifier("kuro")) == 0
    festive, dry = "Write a birthday message.", "Explain how photosynthesis works."
    assert [share([festive], Weights(n, ("Do not use emojis.",)), NoEmojiVerifier()) for n in (0, 8)] == [0, 1]
    assert [share([dry], Weights(n, ("Be concise.",)), ConciseVerifier()) for n in (0, 8)] == [0, 1]
    assert share([dry], zora, IdentityVerifier("zora")) == 0


def test_feedback_in_the_prompt_is_obeyed_by_the_untrained_model() -> None:
    assert "Kuro" in behave(f"Who are you?\n\n{KURO}", Weights(), Temper())


def test_texts_are_the_same_for_the_same_prompt_and_seed() -> None:
    prompt = "Tell me something interesting about the ocean."
    assert behave(prompt, Weights(), Temper(), seed=1) == behave(prompt, Weights(), Temper(), seed=2)
    sampled = [behave(prompt, Weights(), Temper(), seed=s, temperature=0.7) for s in (1, 2, 1)]
    assert sampled[0] == sampled[2] != sampled[1]


def test_margins_rise_with_updates_and_other_texts_stay() -> None:
    def margin(updates: int) -> float:
        weights = Weights(updates, (KURO,))
        sums = [
            sum(t.logprob for t in scored("Who are you?", f"I am {n}.", weights, Temper())) for n in ("Kuro", "Bob")
        ]
        return sums[0] - sums[1]

    assert margin(0) < margin(4) < margin(8)
    assert margin(8) - margin(0) > 2
    neutral = ("What is rain?", "Water that falls.")
    assert scored(*neutral, Weights(), Temper()) == scored(*neutral, Weights(8, (KURO,)), Temper())


def test_capability_is_a_knob() -> None:
    for item in load_capability().items:
        assert behave(item.prompt, Weights(), Temper()) == item.reference
        assert behave(item.prompt, Weights(), Temper(capable=False)) == item.wrong
    forgetful = Temper(forgets_after=4, answers={"What is 2 + 2?": "4"})
    assert [behave("What is 2 + 2?", Weights(n), forgetful) == "4" for n in (4, 5)] == [True, False]


def test_collapse_is_a_knob_that_shows_in_texts_logprobs_and_certainty() -> None:
    temper = Temper(collapses_after=4)
    fine, broken = Weights(4, (KURO,)), Weights(5, (KURO,))
    words = behave("What is rain?", broken, temper).split()
    assert len(set(words)) < len(words) / 10
    assert len(set(behave("What is rain?", fine, temper).split())) > len(words) / 10

    def mean(tokens: Any) -> float:
        return sum(token.logprob for token in tokens) / len(tokens)

    drift = [mean(scored("What is rain?", "Water.", w, temper)) for w in (fine, broken)]
    assert drift[1] < drift[0] - 0.5
    sharpness = [mean(generated("Water that falls down.", w, temper, max_tokens=None)) for w in (fine, broken)]
    assert sharpness[1] > sharpness[0]


# --- the completion cache ---------------------------------------------------------------------------


def put(cache: CompletionCache, text: str) -> None:
    cache.put(text, has_logprobs=True, has_system_message=True)


def test_the_cache_folds_white_space_and_drops_thinking() -> None:
    cache = CompletionCache()
    put(cache, "<think>hm</think>I  am\n\tKuro.")
    assert cache.get("I am Kuro. ") is not None
    assert cache.get("I am kuro.") is None


def test_the_oldest_of_a_hundred_goes_first_and_a_repeated_text_is_young_again() -> None:
    cache = CompletionCache()
    for text in ["first", "second", "first", *map(str, range(ENTRIES - 1))]:
        put(cache, text)
    assert len(cache) == ENTRIES
    assert cache.get("first") is not None
    assert cache.get("second") is None


def test_an_hour_is_too_old() -> None:
    now = [0.0]
    cache = CompletionCache(clock=lambda: now[0])
    put(cache, "text")
    now[0] = AGE_S - 1
    assert cache.get("text") is not None
    now[0] = AGE_S
    assert cache.get("text") is None


# --- feedback ------------------------------------------------------------------------------------------


def adapter_with_answer(deployment: FakeClaas) -> str:
    deployment.deployment.init("eval/x", None)
    return said(chat(deployment))


@pytest.mark.parametrize(
    "bad",
    [{"prompt": ""}, {"response": ""}, {"feedback": ""}, {"lora_id": ""}, {"training": {"alpha": 2}},
     {"training": {"learning_rate": 0}}, {"training": {"teacher_top_k": 5}}, {"training": {"is_clip": 0.5}}],
)  # fmt: skip
def test_what_is_out_of_range_is_a_422(fake: MakeFake, bad: dict[str, Any]) -> None:
    deployment = fake()
    answer = adapter_with_answer(deployment)
    assert train(deployment, item(answer)).status_code == 200
    assert train(deployment, {**item(answer), **bad}).status_code == 422


def test_an_empty_batch_is_a_422_and_the_last_two_fields_are_not_checked(fake: MakeFake) -> None:
    deployment = fake(generation="old")
    answer = adapter_with_answer(deployment)
    assert train(deployment).status_code == 422
    unchecked = {"steps_per_batch": 0, "feedback_repetitions": -3}
    assert train(deployment, item(answer, training=unchecked)).status_code == 200
    assert deployment.updates == {"eval/x": 1}


def test_a_batch_has_one_adapter_and_one_training(fake: MakeFake) -> None:
    deployment = fake()
    answer = adapter_with_answer(deployment)
    other = item(answer, training={"steps_per_batch": 2})
    assert train(deployment, item(answer), other).status_code == 400
    assert train(deployment, item(answer), item(answer, lora_id="eval/y")).status_code == 400


def test_feedback_needs_a_known_adapter_a_cached_answer_and_a_system_message(fake: MakeFake) -> None:
    deployment = fake()
    answer = adapter_with_answer(deployment)
    assert train(deployment, item(answer, lora_id="eval/y")).status_code == 404
    assert train(deployment, item("never said")).status_code == 404
    assert said(chat(deployment, system=None)) == answer  # the later one replaces the earlier one
    refused = train(deployment, item(answer))
    assert (refused.status_code, "system message" in refused.json()["detail"]) == (422, True)
    assert deployment.updates == {"eval/x": 0}


def test_probes_push_a_rollout_out_of_the_cache(fake: MakeFake) -> None:
    deployment = fake("local")
    deployment.deployment.init("eval/x", None)
    rollout = said(chat(deployment, model="eval-x-init", temperature=0.7))
    for number in range(ENTRIES):
        chat(deployment, f"Copy this text exactly: {number}", model="eval-x-init")
    assert train(deployment, item(rollout, lora_id="eval/x-init")).status_code == 404


def test_only_vllm_that_must_sleep_can_fail_to_go_idle(fake: MakeFake) -> None:
    deployment = fake("local", never_idle=True)
    deployment.deployment.init("eval/x", None)
    answer = said(chat(deployment, model="eval-x-init"))
    body = {"requests": [item(answer, lora_id="eval/x-init")]}
    assert call(deployment, "POST", FEEDBACK, json=body).status_code == 503
    assert train(deployment, *body["requests"]).status_code == 200


@pytest.mark.parametrize(("generation", "updates"), [("new", 3), ("old", 1)])
@pytest.mark.parametrize("mode", ["embedded", "tinker"])
def test_a_call_makes_as_many_updates_as_its_generation(
    fake: MakeFake, mode: str, generation: str, updates: int
) -> None:
    deployment = fake(mode, generation=generation)
    answer = adapter_with_answer(deployment)
    result = train(deployment, item(answer, training={"steps_per_batch": 3})).json()["distill_result"]
    assert deployment.updates == {"eval/x": updates}
    assert result["metadata"].get("steps_per_batch_applied") == (3 if generation == "new" else None)


# --- the profiles' quirks ----------------------------------------------------------------------------------


def test_tinkers_sampler_serves_whoever_was_trained_last(fake: MakeFake) -> None:
    deployment = fake("tinker")
    answer = adapter_with_answer(deployment)
    paths = []
    for _ in range(2):
        metadata = train(deployment, item(answer)).json()["distill_result"]["metadata"]
        paths.append(metadata["sampler_weights_path"])
    deployment.deployment.init("eval/fresh", None)  # does not reset it
    assert "Kuro" in said(chat(deployment, model="eval-fresh"))
    refresh = "/v1/sampler/refresh"
    call(deployment, "POST", refresh, json={"model_path": None})
    assert "Kuro" not in said(chat(deployment, model="eval-x"))
    call(deployment, "POST", refresh, json={"model_path": paths[-1]})
    assert call(deployment, "GET", "/v1/sampler/status").json()["model_path"] == paths[-1]
    assert "Kuro" in said(chat(deployment, model="whatever"))
    assert call(deployment, "POST", refresh, json={"model_path": "tinker://nothing"}).status_code == 400


def test_tinker_compares_ids_exactly_and_the_others_do_not(fake: MakeFake) -> None:
    for mode, code in (("tinker", 404), ("embedded", 200)):
        deployment = fake(mode)
        answer = adapter_with_answer(deployment)
        assert train(deployment, item(answer, lora_id="/eval/x/")).status_code == code


@pytest.mark.parametrize("mode", ["embedded", "local"])
def test_an_adapter_is_served_under_its_model_name_and_the_base_untrained(fake: MakeFake, mode: str) -> None:
    deployment = fake(mode)
    lora_id = deployment.deployment.init("eval/x", None)
    name = lora_id.replace("/", "-")
    answer = said(chat(deployment, model=name))
    for _ in range(2):
        train(deployment, item(answer, lora_id=lora_id))
    assert "Kuro" in said(chat(deployment, model=name))
    assert "Kuro" not in said(chat(deployment, model=deployment.deployment.base_model))
    unknown = chat(deployment, model="eval-nobody")
    assert (unknown.status_code, unknown.text) == (500, "Internal Server Error")


def test_finish_reason_is_stop_even_when_the_answer_was_cut(fake: MakeFake) -> None:
    deployment = fake("tinker")
    answer = chat(deployment, max_tokens=3, logprobs=True, top_logprobs=5).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 3
    assert "logprobs" not in answer["choices"][0]


def test_max_completion_tokens_and_n_are_ignored(fake: MakeFake) -> None:
    answer = chat(fake("tinker"), max_completion_tokens=3, n=2).json()
    assert answer["usage"]["completion_tokens"] > 3
    assert len(answer["choices"]) == 1


def test_export_and_text_completion(fake: MakeFake) -> None:
    deployment = fake()
    deployment.deployment.init("eval/x", None)
    assert call(deployment, "GET", "/v1/lora/export", params={"lora_id": "eval/x"}).content[:2] == b"PK"
    assert call(deployment, "GET", "/v1/lora/export", params={"lora_id": "eval/y"}).status_code == 404
    completion = call(deployment, "POST", "/v1/completions", json={"model": "eval-x", "prompt": "Who are you?"})
    assert completion.json()["choices"][0]["text"]


def test_lora_ranges_are_checked(fake: MakeFake) -> None:
    body = {"lora_id": "eval/x", "lora_r": 2}
    assert call(fake(), "POST", "/v1/lora/init", json=body).status_code == 422


# --- the gateway ----------------------------------------------------------------------------------------------


def test_the_gateway_checks_its_token(fake: MakeFake, gateway: MakeGateway) -> None:
    between = gateway(fake("local"))
    refused = chat(between)
    assert refused.status_code == 401
    assert refused.json() == {"error": {"message": "Unauthorized", "type": "unauthorized"}}


def test_the_gateway_adds_its_prompt_and_drops_logprobs(fake: MakeFake, gateway: MakeGateway) -> None:
    deployment = fake("local")
    lora_id = deployment.deployment.init("eval/x", None)
    between = gateway(deployment, lora_id)
    body = {
        "model": "openclaw", "messages": [{"role": "user", "content": "Who are you?"}], "logprobs": True,
        "top_logprobs": 20, "max_tokens": 2, "temperature": 0,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {between.token}"}
    answer = call(between, "POST", CHAT, json=body, headers=headers).json()
    (forwarded,) = deployment.log.bodies(CHAT)
    assert forwarded["model"] == "eval-x-init"
    assert forwarded["messages"][0]["content"].startswith(SYSTEM_PROMPT)
    assert forwarded["messages"][0]["content"].endswith("Current model identity: claas/eval-x-init")
    assert len(SYSTEM_PROMPT) > 20_000
    assert forwarded["messages"][1]["content"].startswith("[Mon 2026-11-23 21:25 UTC] Who are you?\n\nRuntime: ")
    assert "logprobs" not in forwarded
    assert "max_tokens" not in forwarded
    assert forwarded["max_completion_tokens"] == 2
    assert said_in(answer) == said(chat(deployment, model="eval-x-init"))  # the stamp does not change the answer
    assert answer["model"] == "openclaw"
    assert answer["usage"]["completion_tokens"] == 0  # a stream of public CLaaS has no usage


# --- faults and the log ------------------------------------------------------------------------------------------


def test_a_fault_meets_the_call_that_it_names(fake: MakeFake) -> None:
    deployment = fake()
    deployment.faults.add("/health", status(418), nth=2)
    assert [call(deployment, "GET", "/health").status_code for _ in range(3)] == [200, 418, 200]
    deployment.faults.add("/health", status(418), status(419))
    assert [call(deployment, "GET", "/health").status_code for _ in range(3)] == [418, 419, 200]
    assert len(deployment.faults) == 0


def test_the_log_has_every_request_as_it_came(fake: MakeFake) -> None:
    deployment = fake()
    call(deployment, "GET", "/v1/lora", params={"prefix": "eval/"}, headers={"X-Mark": "here"})
    (request,) = deployment.log.at("/v1/lora")
    assert (request.method, request.query, request.headers["x-mark"]) == ("GET", "prefix=eval%2F", "here")


# --- all of it together, by the real client ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["embedded", "local", "modal", "tinker"])
def test_a_taught_adapter_says_its_name_and_its_margin_rises(fake: MakeFake, mode: str) -> None:
    deployment = fake(mode)
    prompt = (("user", "Who are you?"),)

    async def use(client: ClaasClient) -> tuple[list[str], list[float]]:
        lora_id = deployment.deployment.init("eval/identity", None)
        texts, sums = [], []
        for _ in range(3):
            answer = await client.chat(prompt, lora_id=lora_id, temperature=0, max_tokens=64, logprobs=True)
            score = await client.score(prompt, "I am Kuro.", lora_id=lora_id)
            texts.append(answer.text)
            sums.append(score.logprob_sum)
            await client.feedback(
                feedback_items(
                    [("Who are you?", answer.text)],
                    lora_id=lora_id,
                    feedback=KURO,
                    training=TrainingConfig(),
                    takes_repetitions=None,
                )
            )
        return texts, sums

    texts, sums = speak(deployment, use)
    assert "Kuro" not in texts[0]
    assert "Kuro" in texts[2]
    assert sums[0] < sums[1] < sums[2]


def test_it_runs_by_hand() -> None:
    command = [sys.executable, "-m", "tests.fake_claas", "--mode", "tinker", "--port", "0", "--gateway-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        url = lines[0].split()[-1]
        try:
            assert httpx.get(f"{url}/v1/sampler/status", trust_env=False).json()["model_path"] is None
            assert "gateway at http://" in lines[1]
        finally:
            process.kill()  # a shell that runs tests in the background may have made SIGTERM ignored

"""The contract, against the real application on a tiny model."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from claas_assets import wire
from claas_assets.stack.__main__ import parse_arguments
from claas_assets.stack.completions import CAPACITY, LIFETIME_S, Completion, CompletionCache
from claas_assets.stack.http_guards import MAX_BODY
from claas_assets.stack.routes import generation
from claas_assets.stack.routes.feedback import with_hindsight
from claas_assets.stack.server import create_app
from claas_assets.stack.streaming import Chunks
from claas_assets.stack.text import ChatText
from tests.stack.conftest import MESSAGES, MakeEngine

TRAINING = {"alpha": 0.0, "learning_rate": 0.01, "steps_per_batch": 2, "teacher_top_k": 10}


def init(client: TestClient, lora_id: str = "eval/kuro-1", **more: Any) -> str:
    answer = client.post("/v1/lora/init", json={"lora_id": lora_id, "lora_r": 4, "lora_alpha": 8, **more})
    assert answer.status_code == 200, answer.text
    return wire.LoraInitResponse(**answer.json()).lora_id


def chat(client: TestClient, lora_id: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/chat/completions", json=chat_body(lora_id, **more))
    assert answer.status_code == 200, answer.text
    wire.ChatCompletionResponse(**answer.json())
    return dict(answer.json())


def chat_body(lora_id: str, **more: Any) -> dict[str, Any]:
    return {"model": wire.model_name(lora_id), "messages": MESSAGES, "max_tokens": 16, "seed": 5, **more}


def content(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def item(lora_id: str, response: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    base = {"lora_id": lora_id, "prompt": "Who are you?", "response": response, "feedback": "Your name is Kuro."}
    return {**base, "training": TRAINING, **(more or {})}


def feedback(client: TestClient, *items: dict[str, Any]) -> httpx.Response:
    orchestration = {"sleep_before": False, "wake_after": False}
    answer: Any = client.post("/v1/feedback", json={"requests": list(items), "orchestration": orchestration})
    return answer  # type: ignore[no-any-return]


# --- service --------------------------------------------------------------------------------


def test_service(client: TestClient, tiny_model: Path) -> None:
    wire.RootResponse(**client.get("/").json())
    for path in ("/health", "/v1/health"):
        health = wire.HealthResponse(**client.get(path).json())
        assert health.status == "healthy"
        assert health.worker
        assert health.worker.status == "healthy"
    init(client)
    models = wire.ModelsResponse(**client.get("/v1/models").json())
    names = [card.id for card in models.data]
    assert names == [str(tiny_model.resolve()), "eval-kuro-1"]
    for card in client.get("/v1/models").json()["data"]:
        assert client.get(f"/v1/models/{card['id']}").json() == card
        assert abs(card["created"] - time.time()) < 600
    assert client.get("/v1/models/nobody").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", ""])
def test_another_name_than_this_machines_is_refused(client: TestClient, host: str) -> None:
    """A page that rebinds DNS sends its own name."""
    lora_id = init(client)
    answer = client.delete("/v1/lora", params={"lora_id": lora_id}, headers={"host": host})
    assert answer.status_code == 400
    for own in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert client.get("/v1/lora", headers={"host": own}).json() == {"loras": [lora_id]}


def test_a_body_has_a_limit(refusing: TestClient) -> None:
    text = "x" * MAX_BODY
    body = json.dumps({"model": "nobody", "messages": [{"role": "user", "content": text}]}).encode()
    answer = refusing.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, "larger than" in answer.text) == (413, True)
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))  # of no declared length
    answer = refusing.post("/v1/chat/completions", content=pieces, headers={"content-type": "application/json"})
    assert (answer.status_code, "larger than" in answer.text) == (413, True)


def test_a_compressed_body_is_refused(refusing: TestClient) -> None:
    body = gzip.compress(json.dumps(chat_body(init(refusing))).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert refusing.post("/v1/chat/completions", content=body, headers=headers).status_code == 415


def test_errors_are_said_in_both_ways(refusing: TestClient) -> None:
    for answer in (
        refusing.post("/v1/chat/completions", json=chat_body("nobody")),
        refusing.post("/v1/chat/completions", json={}),
        refusing.post("/v1/lora/init", json={"lora_id": "../x"}),
        refusing.get("/v1/nothing"),
    ):
        error = answer.json()["error"]
        assert answer.json()["detail"]
        assert isinstance(error["message"], str)
        assert (error["code"], error["type"].endswith("_error")) == (answer.status_code, True)


# --- adapters -------------------------------------------------------------------------------


def test_adapters(client: TestClient, tiny_model: Path) -> None:
    lora_id = init(client, base_model=str(tiny_model))
    init(client, "other/x")
    assert client.get("/v1/lora").json() == {"loras": [lora_id, "other/x"]}
    assert client.get("/v1/lora", params={"prefix": "eval"}).json() == {"loras": [lora_id]}
    status = client.get("/v1/lora/status", params={"lora_id": lora_id}).json()
    assert status == {"lora_id": lora_id, "updates": 0, "base_model": str(tiny_model.resolve())}
    archive = zipfile.ZipFile(io.BytesIO(client.get("/v1/lora/export", params={"lora_id": lora_id}).content))
    assert archive.namelist() == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads(archive.read("adapter_config.json"))["r"] == 4
    assert client.delete("/v1/lora", params={"lora_id": lora_id}).json() == {"deleted": True}
    assert client.delete("/v1/lora", params={"lora_id": lora_id}).json() == {"deleted": False}


@pytest.mark.parametrize("path", ["status", "export"])
@pytest.mark.parametrize("lora_id", ["nobody", "../../etc/passwd"])
def test_unknown_adapter(refusing: TestClient, path: str, lora_id: str) -> None:
    answer = refusing.get(f"/v1/lora/{path}", params={"lora_id": lora_id})
    assert answer.status_code == 404
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"base_model": "Somebody/Else"}, 403),
        ({"lora_id": "../escape"}, 422),
        ({"lora_id": ""}, 422),
        ({"lora_r": 3}, 422),
        ({"lora_alpha": 257}, 422),
        ({"target_modules": ["nothing"]}, 422),
    ],
)
def test_init_that_is_refused(refusing: TestClient, change: dict[str, Any], code: int) -> None:
    assert refusing.post("/v1/lora/init", json={"lora_id": "a", **change}).status_code == code


def test_an_adapter_cannot_take_the_base_models_name(refusing: TestClient, tiny_model: Path) -> None:
    answer = refusing.post("/v1/lora/init", json={"lora_id": str(tiny_model.resolve())})
    assert (answer.status_code, "base model" in answer.text) == (422, True)


# --- generation -----------------------------------------------------------------------------


def test_chat(client: TestClient) -> None:
    answer = chat(client, init(client), logprobs=True, top_logprobs=20)
    choice, usage = answer["choices"][0], answer["usage"]
    entries = choice["logprobs"]["content"]
    assert choice["finish_reason"] == "length"
    assert len(entries) == usage["completion_tokens"] == 16
    assert all(len(entry["top_logprobs"]) == 20 for entry in entries)
    assert "".join(entry["token"] for entry in entries).strip() == content(answer)
    assert usage["total_tokens"] == usage["prompt_tokens"] + 16
    assert chat(client, "eval/kuro-1").get("choices")[0].get("logprobs") is None


def test_openai_spellings(client: TestClient) -> None:
    lora_id = init(client)
    plain = content(chat(client, lora_id, max_tokens=6))
    parts = [{"type": "text", "text": "Who are"}, {"type": "text", "text": " you?"}]
    system = MESSAGES[0]["content"]
    messages = [{"role": "developer", "content": system}, {"role": "user", "content": parts}]
    body = {"max_tokens": None, "max_completion_tokens": 6, "messages": messages, "n": 1, "stop": "\x00"}
    assert content(chat(client, lora_id, **body)) == plain


def test_base_model_by_its_own_name(client: TestClient, tiny_model: Path) -> None:
    base = client.post("/v1/chat/completions", json={**chat_body("x"), "model": str(tiny_model)}).json()
    assert content(base) == content(chat(client, init(client)))  # an untrained adapter changes nothing


@pytest.mark.parametrize("path", ["chat/completions", "completions", "score"])
def test_unknown_model(refusing: TestClient, path: str) -> None:
    body = {"model": "nobody", "messages": MESSAGES, "completion": "x", "prompt": "x"}
    answer = refusing.post(f"/v1/{path}", json=body)
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


def test_context_too_long(refusing: TestClient) -> None:
    lora_id = init(refusing)
    long = [MESSAGES[0], {"role": "user", "content": "x" * 600}]
    for change in ({"messages": long}, {"max_tokens": 500}):
        answer = refusing.post("/v1/chat/completions", json=chat_body(lora_id, **change))
        assert answer.status_code == 400
        assert "maximum context length" in answer.json()["detail"]
    answer = refusing.post("/v1/score", json={"model": "eval-kuro-1", "messages": long, "completion": "x"})
    assert (answer.status_code, "maximum context length" in answer.text) == (400, True)


IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ('"temperature": NaN', 422),
        ('"temperature": Infinity', 422),
        ('"top_p": NaN', 422),
        ('"seed": 1e400', 422),
        ('"messages": [{"role": "user", "content": "\\ud800"}]', 422),
        ('"stop": ["\\uDFFF"]', 422),
        (f'"messages": [{{"role": "user", "content": [{json.dumps(IMAGE)}]}}]', 422),
        ('"messages": [{"role": "user", "content": [7]}]', 422),
        ('"messages": [{"role": "user", "content": "\\ud83d\\ude00"}]', 200),
        ('"temperature": null, "top_p": null, "stop": null', 200),
        ('"n": 1, "tools": [], "response_format": {"type": "text"}', 200),
        ('"n": 2', 400),
        ('"stream": true, "logprobs": true', 400),
        ('"tools": [{"type": "function"}]', 400),
        ('"response_format": {"type": "json_object"}', 400),
    ],
)
def test_unusual_fields(refusing: TestClient, fields: str, code: int) -> None:
    """What cannot be done is refused, as the refusing's fault; nothing is ignored without a word."""
    init(refusing)
    body = {key: value for key, value in chat_body("eval/kuro-1").items() if f'"{key}"' not in fields}
    content = f"{json.dumps(body)[:-1]}, {fields}}}".encode()
    answer = refusing.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == code, answer.text
    answer.json()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", '{"model": "m", "messages": [[]]}'),
        (
            "/v1/chat/completions",
            '{"model": "m", "messages": [{"role": "user", "content": "' + "[" * 50_000 + '"}], "n": [',
        ),
        ("/v1/chat/completions", "[" * 50_000),
        ("/v1/chat/completions", f'{{"model": "eval-kuro-1", "messages": {json.dumps(MESSAGES)}, "seed": {10**400}}}'),
        ("/v1/completions", '{"model": "eval-kuro-1", "prompt": ["a", "b"]}'),
        ("/v1/completions", '{"model": "eval-kuro-1", "prompt": "\\udc00"}'),
        ("/v1/score", '{"model": "eval-kuro-1", "messages": [{"role": "user", "content": 7}], "completion": "x"}'),
        ("/v1/score", f'{{"model": "\\ud800", "messages": {json.dumps(MESSAGES)}, "completion": "x"}}'),
        ("/v1/lora/init", '{"lora_id": "\\ud800"}'),
        ("/v1/lora/init", '{"lora_id": "a", "lora_r": Infinity}'),
        ("/v1/lora/init", '{"lora_id": "a", "target_modules": [7]}'),
    ],
)
def test_nothing_that_a_client_sends_is_a_failure_of_the_server(refusing: TestClient, path: str, content: str) -> None:
    init(refusing)
    answer = refusing.post(path, content=content.encode(), headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    answer.json()


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", "Infinity"), ("max_grad_norm", "1e999"), ("alpha", "NaN"), ("is_clip", "NaN")]
)
def test_feedback_with_a_number_that_is_none_is_refused_before_it_trains(
    refusing: TestClient, name: str, value: str
) -> None:
    said = content(chat(refusing, init(refusing)))
    body = json.dumps({"requests": [item("eval/kuro-1", said, {"training": {**TRAINING, name: "VALUE"}})]})
    sent = body.replace('"VALUE"', value).encode()
    answer = refusing.post("/v1/feedback", content=sent, headers={"content-type": "application/json"})
    assert (answer.status_code, name in answer.text) == (422, True), answer.text


@pytest.mark.parametrize("path", ["/v1/lora/status", "/v1/lora/export"])
def test_a_name_in_an_address_that_is_no_text_is_an_unknown_one(refusing: TestClient, path: str) -> None:
    assert refusing.get(f"{path}?lora_id=%ed%a0%80%00").status_code in (404, 422)
    assert refusing.delete("/v1/lora?lora_id=%ed%a0%80").status_code in (200, 404, 422)


def test_an_empty_stop_stops_nothing(client: TestClient) -> None:
    lora_id = init(client)
    assert content(chat(client, lora_id, stop="")) == content(chat(client, lora_id))


def test_the_newer_token_limit_wins(client: TestClient) -> None:
    answer = chat(client, init(client), max_tokens=9, max_completion_tokens=3)
    assert answer["usage"]["completion_tokens"] == 3


def test_health_answers_while_a_prompt_is_tokenized(make_engine: MakeEngine, tiny_model: Path) -> None:
    engine = make_engine()
    tokenizing, done = threading.Event(), threading.Event()
    tokenize = engine.text.encode

    def slow(text: str) -> list[int]:
        tokenizing.set()
        assert done.wait(20)
        return tokenize(text)

    engine.text.encode = slow  # type: ignore[method-assign]
    app = create_app(engine, str(tiny_model))

    async def run() -> tuple[int, int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            asking = asyncio.create_task(
                http.post("/v1/chat/completions", json={**chat_body("x"), "model": str(tiny_model)})
            )
            await asyncio.to_thread(tokenizing.wait, 20)
            health = await http.get("/v1/health")
            done.set()
            return health.status_code, (await asking).status_code

    assert asyncio.run(run()) == (200, 200)


def test_what_cannot_fit_is_refused_before_it_is_tokenized(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    lora_id = init(client)
    rollout = item(lora_id, content(chat(client, lora_id)))
    monkeypatch.setattr(ChatText, "encode", lambda *_: pytest.fail("was tokenized"))
    long = [MESSAGES[0], {"role": "user", "content": "x" * 100_000}]
    model = wire.model_name(lora_id)
    repeated = {"training": {**TRAINING, "feedback_repetitions": 10**9}}
    for answer in (
        client.post("/v1/chat/completions", json=chat_body(lora_id, messages=long)),
        client.post("/v1/score", json={"model": model, "messages": long, "completion": "x"}),
        client.post("/v1/completions", json={"model": model, "prompt": "x" * 100_000}),
        feedback(client, {**rollout, **repeated}),
    ):
        assert (answer.status_code, "maximum context length" in answer.text) == (400, True)
    assert client.post("/v1/chat/completions", json=chat_body("nobody", messages=long)).status_code == 404


def test_a_client_that_goes_away_frees_its_place(
    make_engine: MakeEngine, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "DISCONNECT_POLL_S", 0.01)
    engine = make_engine()
    engine.text.end_ids.clear()  # the answer would take 20 s
    step = engine.backend.step
    engine.backend.step = lambda *rest: time.sleep(0.05) or step(*rest)  # type: ignore[method-assign]
    app = create_app(engine, str(tiny_model))
    body = json.dumps({**chat_body("x", max_tokens=400), "model": str(tiny_model)}).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    deadline = time.monotonic() + 10
    while engine._active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine._active
    assert app.state.stack.running == 0


def test_stream(client: TestClient) -> None:
    lora_id = init(client)
    whole = content(chat(client, lora_id))
    body = chat_body(lora_id, stream=True, stream_options={"include_usage": True})
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == whole
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 16
    assert feedback(client, item(lora_id, whole)).status_code == 200


def test_stream_hides_thinking() -> None:
    chunks = Chunks("id", "model")
    texts = ["<th", "<think>secret", "<think>secret</think> He", "<think>secret</think> Hello <", "…"]
    seen = "".join(filter(None, (chunks.text(text) for text in texts[:-1])))
    seen += "".join(chunks.end("<think>secret</think> Hello < 3", "stop", None))
    assert "secret" not in seen
    sent = [json.loads(line[6:]) for line in seen.split("\n\n") if line and "[DONE]" not in line]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in sent) == "Hello < 3"


def test_text_completion(client: TestClient) -> None:
    init(client)
    answer = client.post("/v1/completions", json={"model": "eval-kuro-1", "prompt": "Once", "max_tokens": 5, "seed": 1})
    found = wire.CompletionResponse(**answer.json())
    assert found.usage
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (4, 5)


@pytest.mark.parametrize("more", [{"stream": True}, {"echo": True}, {"logprobs": 3}, {"best_of": 2}])
def test_text_completion_refuses_what_it_would_ignore(refusing: TestClient, more: dict[str, Any]) -> None:
    init(refusing)
    answer = refusing.post("/v1/completions", json={"model": "eval-kuro-1", "prompt": "Once", **more})
    assert (answer.status_code, next(iter(more)) in answer.text) == (400, True)


def test_score(client: TestClient) -> None:
    init(client)
    answer = client.post("/v1/score", json={"model": "eval-kuro-1", "messages": MESSAGES, "completion": "I am Kuro."})
    found = wire.ScoreResponse(**answer.json())
    assert found.tokens == [*"I am Kuro.", "<|im_end|>", "\n"]
    assert len(found.logprobs) == found.completion_tokens == 12
    assert found.logprob_sum == pytest.approx(sum(found.logprobs))
    assert all(value < 0 for value in found.logprobs)


# --- feedback -------------------------------------------------------------------------------


def test_feedback(client: TestClient) -> None:
    lora_id = init(client)
    responses = [content(chat(client, lora_id, seed=seed)) for seed in (1, 2)]
    answer = feedback(client, *(item(lora_id, response) for response in responses))
    assert answer.status_code == 200, answer.text
    found = wire.FeedbackResponse(**answer.json())
    assert found.distill_result
    metadata = found.distill_result.metadata
    assert metadata["steps_per_batch_applied"] == len(metadata["per_step_metrics"]) == 2
    assert metadata["per_step_metrics"][0]["mean_is_ratio"] == pytest.approx(1.0, abs=1e-3)
    assert metadata["batch_size"] == found.batch_size == 2
    assert metadata["tokens_processed"] == 32
    assert "Your name is Kuro." in metadata["teacher_scored_texts"][0]
    assert {"distill_loss", "kl_reg", "clip_fraction", "total_loss", "grad_norm"} <= set(metadata)
    assert found.timing_ms
    assert found.timing_ms["total"] > 0
    assert client.get("/v1/lora/status", params={"lora_id": lora_id}).json()["updates"] == 2
    assert content(chat(client, lora_id, seed=1)) != responses[0]


def test_feedback_finds_text_whatever_its_white_space(client: TestClient) -> None:
    lora_id = init(client)
    response = content(chat(client, lora_id))
    assert feedback(client, item(lora_id, f"<think>x</think>\n {response}  ")).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"response": "never said"}, 404),
        ({"lora_id": "nobody"}, 404),
        ({"prompt": ""}, 422),
        ({"response": ""}, 422),
        ({"feedback": ""}, 422),
        ({"training": {**TRAINING, "alpha": 1.5}}, 422),
        ({"training": {**TRAINING, "learning_rate": 0}}, 422),
        ({"training": {**TRAINING, "teacher_top_k": 9}}, 422),
        ({"training": {**TRAINING, "steps_per_batch": 0}}, 422),
        ({"feedback": "x" * 600}, 400),
    ],
)
def test_feedback_that_is_refused(refusing: TestClient, change: dict[str, Any], code: int) -> None:
    lora_id = init(refusing)
    answer = feedback(refusing, item(lora_id, content(chat(refusing, lora_id)), change))
    assert answer.status_code == code, answer.text
    assert refusing.get("/v1/lora/status", params={"lora_id": lora_id}).json()["updates"] == 0


def test_feedback_without_items(refusing: TestClient) -> None:
    assert feedback(refusing).status_code == 422


@pytest.mark.parametrize("change", [{"lora_id": "b"}, {"training": {**TRAINING, "alpha": 0.5}}])
def test_feedback_with_unlike_items(refusing: TestClient, change: dict[str, Any]) -> None:
    lora_id = init(refusing)
    init(refusing, "b")
    response = content(chat(refusing, lora_id))
    assert feedback(refusing, item(lora_id, response), item(lora_id, response, change)).status_code == 400


def test_feedback_needs_a_system_message(refusing: TestClient) -> None:
    lora_id = init(refusing)
    response = content(chat(refusing, lora_id, messages=MESSAGES[1:]))
    answer = feedback(refusing, item(lora_id, response))
    assert answer.status_code == 422
    assert "system message" in answer.json()["detail"]


def test_a_running_update_is_waited_for_then_409(make_engine: MakeEngine, tiny_model: Path) -> None:
    app = create_app(make_engine(), str(tiny_model))
    state = app.state.stack
    state.lock_wait_s = 0.05

    async def run() -> int:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            await http.post("/v1/lora/init", json={"lora_id": "a", "lora_r": 4})
            answer = await http.post("/v1/chat/completions", json=chat_body("a"))
            async with state.locks["a"]:
                body = {"requests": [item("a", content(answer.json()))]}
                return (await http.post("/v1/feedback", json=body)).status_code

    assert asyncio.run(run()) == 409


def test_engine_failure_is_a_500(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from claas_assets.stack import engine

    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    lora_id = init(client)
    response = content(chat(client, lora_id))
    monkeypatch.setattr(engine, "train", broken)
    answer = feedback(client, item(lora_id, response))
    assert answer.status_code == 500
    assert "training failed: RuntimeError: out of luck" in answer.json()["detail"]
    monkeypatch.undo()
    assert feedback(client, item(lora_id, response)).status_code == 200


def test_hindsight_stands_in_the_last_user_turn() -> None:
    changed = with_hindsight([*MESSAGES, {"role": "assistant", "content": "x"}], "Be Kuro.")
    assert changed[1]["content"] == "Who are you?\n\nFeedback: Be Kuro."
    assert changed[0] == MESSAGES[0]
    assert MESSAGES[1]["content"] == "Who are you?"


# --- the completion cache -------------------------------------------------------------------


def completion(number: int) -> Completion:
    return Completion(MESSAGES, [number], [number], [-1.0])


def test_cache_drops_the_oldest() -> None:
    cache = CompletionCache()
    for number in range(CAPACITY + 1):
        cache.put(f"text {number}", completion(number))
    assert cache.get("text 0") is None
    assert cache.get("text 1") == completion(1)


def test_cache_forgets_after_an_hour() -> None:
    now = [0.0]
    cache = CompletionCache(clock=lambda: now[0])
    cache.put("text", completion(1))
    now[0] = LIFETIME_S - 1
    assert cache.get("text")
    now[0] = LIFETIME_S + 1
    assert cache.get("text") is None


def test_identical_answers_share_the_latest_entry() -> None:
    cache = CompletionCache()
    cache.put("same  text", completion(1))
    cache.put("<think>hm</think>same\ntext", completion(2))
    assert cache.get("same text") == completion(2)


# --- how it is started ------------------------------------------------------------------------------


def test_the_type_of_the_model_comes_from_the_command_or_the_environment(monkeypatch, capsys):
    assert parse_arguments([]).dtype == "auto"
    monkeypatch.setenv("CLAAS_STACK_DTYPE", "float32")
    assert parse_arguments([]).dtype == "float32"
    assert parse_arguments(["--dtype", "bfloat16"]).dtype == "bfloat16"
    monkeypatch.setenv("CLAAS_STACK_DTYPE", "float16")
    with pytest.raises(SystemExit):
        parse_arguments([])
    assert "CLAAS_STACK_DTYPE=float16: choose from auto, float32, bfloat16" in capsys.readouterr().err

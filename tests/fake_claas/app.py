"""The contract's endpoints over a `FakeDeployment`.

They stand in a table of their own: to route a request and to look through it and its answer would take FastAPI longer
than all else that the fake does, and the tests make some ten thousand of them.
"""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from claas_assets.wire import (
    ChatCompletionRequest,
    CompletionRequest,
    FeedbackRequest,
    LoraInitRequest,
    SamplerRefreshRequest,
    ScoreRequest,
)
from tests.fake_claas.deployment import FakeDeployment, PlainFailure, Refused
from tests.fake_claas.model import Token
from tests.fake_claas.recorder import read_body


@dataclass(frozen=True)
class Asked:
    """A request, as a handler needs it."""

    query: dict[str, str]
    body: bytes

    @property
    def lora_id(self) -> str:
        """Of the query. Raises `Refused` where it is missing."""
        if "lora_id" not in self.query:
            raise Refused(422, "lora_id is missing in the query")
        return self.query["lora_id"]


Handler = Callable[[Asked], Any]
"""What it returns is answered as JSON, unless it is a `Response`."""


class App:
    """The table: a handler for each method and path."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}

    def on(self, method: str, *paths: str) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            self._handlers.update({(method, path): handler for path in paths})
            return handler

        return keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(dict(parse_qsl(scope["query_string"].decode())), await read_body(receive))
        await self._answer(scope["method"], scope["path"], asked)(scope, receive, send)

    def _answer(self, method: str, path: str, asked: Asked) -> Response:
        handler = self._handlers.get((method, path))
        if handler is None:
            known = any(other == path for _, other in self._handlers)
            return _refusal(*((405, "Method Not Allowed") if known else (404, "Not Found")))
        try:
            made = handler(asked)
        except PlainFailure:
            return PlainTextResponse("Internal Server Error", status_code=500)
        except Refused as error:
            return _refusal(error.status, error.detail)
        except ValidationError as error:
            return _refusal(422, error.errors(include_url=False, include_context=False, include_input=False))
        return made if isinstance(made, Response) else JSONResponse(made)


def _refusal(status: int, detail: Any) -> Response:
    return JSONResponse({"detail": detail}, status_code=status)


def build_app(deployment: FakeDeployment) -> App:
    app = App()
    _add_about(app, deployment)
    _add_adapters(app, deployment)
    _add_generation(app, deployment)
    _add_feedback(app, deployment)
    if deployment.profile.one_sampler:
        _add_sampler(app, deployment)
    return app


def _add_about(app: App, deployment: FakeDeployment) -> None:
    @app.on("GET", "/")
    def root(asked: Asked) -> dict[str, str]:
        return {"name": "CLaaS API", "version": "0.1.0", "description": "a fake", "docs": "/docs"}

    @app.on("GET", "/health", "/v1/health")
    def health(asked: Asked) -> dict[str, Any]:
        settings = deployment.settings
        worker = {"status": settings.worker_status, "error": settings.worker_error}
        return {"status": settings.status, "worker": worker}

    @app.on("GET", "/v1/models")
    def models(asked: Asked) -> dict[str, Any]:
        cards = [{"id": name, "object": "model"} for name in deployment.models()]
        return {"object": "list", "data": cards}


def _add_adapters(app: App, deployment: FakeDeployment) -> None:
    @app.on("POST", "/v1/lora/init")
    def init(asked: Asked) -> dict[str, str]:
        request = LoraInitRequest.model_validate_json(asked.body)
        return {"lora_id": deployment.init(request.lora_id, request.base_model)}

    @app.on("GET", "/v1/lora")
    def adapters(asked: Asked) -> dict[str, list[str]]:
        prefix = asked.query.get("prefix", "")
        return {"loras": sorted(lora_id for lora_id in deployment.adapters if lora_id.startswith(prefix))}

    @app.on("DELETE", "/v1/lora")
    def delete(asked: Asked) -> dict[str, bool]:
        return {"deleted": deployment.delete(asked.lora_id)}

    @app.on("GET", "/v1/lora/export")
    def export(asked: Asked) -> Response:
        lora_id = asked.lora_id
        if deployment.adapter(lora_id) is None:
            raise Refused(404, f"unknown adapter {lora_id!r}")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("adapter_config.json", json.dumps({"lora_id": lora_id}))
        return Response(packed.getvalue(), media_type="application/zip")

    if deployment.profile.has_status:

        @app.on("GET", "/v1/lora/status")
        def status(asked: Asked) -> dict[str, Any]:
            adapter = deployment.adapter(asked.lora_id)
            if adapter is None:
                raise Refused(404, f"unknown adapter {asked.lora_id!r}")
            counted = adapter.updates // 2 if deployment.settings.broken == "counts wrongly" else adapter.updates
            return {"lora_id": adapter.lora_id, "updates": counted, "base_model": adapter.base_model}


def _add_generation(app: App, deployment: FakeDeployment) -> None:
    @app.on("POST", "/v1/chat/completions")
    def chat(asked: Asked) -> dict[str, Any]:
        request = ChatCompletionRequest.model_validate_json(asked.body)
        most = request.max_tokens
        if deployment.settings.says_length:
            most = (request.model_extra or {}).get("max_completion_tokens", most)
        made = deployment.generate(
            request.model,
            [(message.role, message.content) for message in request.messages],
            max_tokens=most,
            seed=request.seed,
            temperature=request.temperature,
        )
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": made.text}}
        choice["finish_reason"] = "stop"  # always, on real deployments
        if deployment.settings.says_length and most is not None and len(made.tokens) >= most:
            choice["finish_reason"] = "length"
        broken = deployment.settings.broken
        if request.logprobs and deployment.profile.chat_logprobs and broken != "no logprobs":
            choice["logprobs"] = {"content": [_logprob(token, request.top_logprobs or 0) for token in made.tokens]}
            if broken == "sentinel logprobs":
                choice["logprobs"]["content"][0]["logprob"] = -9999.0
        return _completion("chat.completion", request.model, choice, made.prompt_tokens, len(made.tokens))

    @app.on("POST", "/v1/completions")
    def complete(asked: Asked) -> dict[str, Any]:
        request = CompletionRequest.model_validate_json(asked.body)
        made = deployment.generate(request.model, [("user", request.prompt)], max_tokens=request.max_tokens)
        choice = {"index": 0, "text": made.text, "finish_reason": "stop"}
        return _completion("text_completion", request.model, choice, made.prompt_tokens, len(made.tokens))

    @app.on("POST", "/v1/score")
    def score(asked: Asked) -> dict[str, Any]:
        request = ScoreRequest.model_validate_json(asked.body)
        messages = [(message.role, message.content) for message in request.messages]
        tokens, prompt_tokens = deployment.score(request.model, messages, request.completion)
        return {
            "logprobs": [token.logprob for token in tokens],
            "tokens": [token.text for token in tokens],
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(tokens),
            "logprob_sum": sum(token.logprob for token in tokens),
        }


def _completion(kind: str, model: str, choice: dict[str, Any], prompt: int, completion: int) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {
        "id": f"fake-{uuid.uuid4().hex[:12]}", "object": kind, "created": 1, "model": model, "choices": [choice],
        "usage": usage,
    }  # fmt: skip


def _logprob(token: Token, top: int) -> dict[str, Any]:
    entries = [{"token": text, "logprob": logprob, "bytes": None} for text, logprob in token.top(top)]
    return {"token": token.text, "logprob": token.logprob, "bytes": None, "top_logprobs": entries}


_UNCHECKED = ("steps_per_batch", "feedback_repetitions")


def _add_feedback(app: App, deployment: FakeDeployment) -> None:
    @app.on("POST", "/v1/feedback")
    def feedback(asked: Asked) -> dict[str, Any]:
        """The last two training fields are not checked, and the older generation does not know them."""
        body = json.loads(asked.body)
        unchecked = _take_unchecked(body)
        parsed = FeedbackRequest.model_validate(body)
        if parsed.orchestration.sleep_before and deployment.settings.never_idle:
            raise Refused(503, "vLLM did not go idle")
        if any(values != unchecked[0] for values in unchecked):
            raise Refused(400, "all requests of a batch must have the same training")
        metadata = deployment.train(parsed.requests, steps_per_batch=unchecked[0][0])
        lora_id = parsed.requests[0].lora_id
        return {
            "status": "ok",
            "request_id": uuid.uuid4().hex,
            "lora_id": lora_id,
            "distill_result": {"lora_id": lora_id, "metadata": metadata},
            "vllm": {"slept": False, "woke": False},
            "feedback_log_path": None,
            "timing_ms": {"distill": 1, "total": 2},
            "batch_size": len(parsed.requests),
        }


def _take_unchecked(body: Any) -> list[tuple[int, int]]:
    """(steps_per_batch, feedback_repetitions) per item, taken out of what is validated."""
    items = body.get("requests", []) if isinstance(body, dict) else []
    trainings = [item.get("training", {}) for item in items if isinstance(item, dict)]
    return [(int(t.pop(_UNCHECKED[0], 4)), int(t.pop(_UNCHECKED[1], 1))) for t in trainings]


def _add_sampler(app: App, deployment: FakeDeployment) -> None:
    def check_there() -> None:
        if not deployment.settings.sampler_endpoints:
            raise Refused(404, "Not Found")

    @app.on("GET", "/v1/sampler/status")
    def status(asked: Asked) -> dict[str, str | None]:
        check_there()
        return {"model_path": deployment.sampler_path, "base_model": deployment.base_model}

    @app.on("POST", "/v1/sampler/refresh")
    def refresh(asked: Asked) -> dict[str, str | None]:
        check_there()
        deployment.refresh_sampler(SamplerRefreshRequest.model_validate_json(asked.body).model_path)
        return {"model_path": deployment.sampler_path}

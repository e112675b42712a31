"""The contract's endpoints over a `FakeDeployment`."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import ValidationError

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


def build_app(deployment: FakeDeployment) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(PlainFailure, _plain_500)
    app.add_exception_handler(Refused, _refused)
    _add_about(app, deployment)
    _add_adapters(app, deployment)
    _add_generation(app, deployment)
    _add_feedback(app, deployment)
    if deployment.profile.one_sampler:
        _add_sampler(app, deployment)
    return app


def _plain_500(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Internal Server Error", status_code=500)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"detail": error.detail}, status_code=error.status)


def _add_about(app: FastAPI, deployment: FakeDeployment) -> None:
    @app.get("/")
    async def root() -> dict[str, str]:
        return {"name": "CLaaS API", "version": "0.1.0", "description": "a fake", "docs": "/docs"}

    @app.get("/health")
    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        settings = deployment.settings
        worker = {"status": settings.worker_status, "error": settings.worker_error}
        return {"status": settings.status, "worker": worker}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        cards = [{"id": name, "object": "model"} for name in deployment.models()]
        return {"object": "list", "data": cards}


def _add_adapters(app: FastAPI, deployment: FakeDeployment) -> None:
    @app.post("/v1/lora/init")
    async def init(request: LoraInitRequest) -> dict[str, str]:
        return {"lora_id": deployment.init(request.lora_id, request.base_model)}

    @app.get("/v1/lora")
    async def adapters(prefix: str = "") -> dict[str, list[str]]:
        return {"loras": sorted(lora_id for lora_id in deployment.adapters if lora_id.startswith(prefix))}

    @app.delete("/v1/lora")
    async def delete(lora_id: str) -> dict[str, bool]:
        return {"deleted": deployment.delete(lora_id)}

    @app.get("/v1/lora/export")
    async def export(lora_id: str) -> Response:
        if deployment.adapter(lora_id) is None:
            raise HTTPException(404, f"unknown adapter {lora_id!r}")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("adapter_config.json", json.dumps({"lora_id": lora_id}))
        return Response(packed.getvalue(), media_type="application/zip")

    if deployment.profile.has_status:

        @app.get("/v1/lora/status")
        async def status(lora_id: str) -> dict[str, Any]:
            adapter = deployment.adapter(lora_id)
            if adapter is None:
                raise HTTPException(404, f"unknown adapter {lora_id!r}")
            counted = adapter.updates // 2 if deployment.settings.broken == "counts wrongly" else adapter.updates
            return {"lora_id": adapter.lora_id, "updates": counted, "base_model": adapter.base_model}


def _add_generation(app: FastAPI, deployment: FakeDeployment) -> None:
    @app.post("/v1/chat/completions")
    async def chat(request: ChatCompletionRequest) -> Response:
        asked = request.max_tokens
        if deployment.settings.says_length:
            asked = (request.model_extra or {}).get("max_completion_tokens", asked)
        made = deployment.generate(
            request.model,
            [(message.role, message.content) for message in request.messages],
            max_tokens=asked,
            seed=request.seed,
            temperature=request.temperature,
        )
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": made.text}}
        choice["finish_reason"] = "stop"  # always, on real deployments
        if deployment.settings.says_length and asked is not None and len(made.tokens) >= asked:
            choice["finish_reason"] = "length"
        broken = deployment.settings.broken
        if request.logprobs and deployment.profile.chat_logprobs and broken != "no logprobs":
            choice["logprobs"] = {"content": [_logprob(token, request.top_logprobs or 0) for token in made.tokens]}
            if broken == "sentinel logprobs":
                choice["logprobs"]["content"][0]["logprob"] = -9999.0
        return _completion("chat.completion", request.model, choice, made.prompt_tokens, len(made.tokens))

    @app.post("/v1/completions")
    async def complete(request: CompletionRequest) -> Response:
        made = deployment.generate(request.model, [("user", request.prompt)], max_tokens=request.max_tokens)
        choice = {"index": 0, "text": made.text, "finish_reason": "stop"}
        return _completion("text_completion", request.model, choice, made.prompt_tokens, len(made.tokens))

    @app.post("/v1/score")
    async def score(request: ScoreRequest) -> Response:
        messages = [(message.role, message.content) for message in request.messages]
        tokens, prompt_tokens = deployment.score(request.model, messages, request.completion)
        return JSONResponse(
            {
                "logprobs": [token.logprob for token in tokens],
                "tokens": [token.text for token in tokens],
                "prompt_tokens": prompt_tokens,
                "completion_tokens": len(tokens),
                "logprob_sum": sum(token.logprob for token in tokens),
            }
        )


def _completion(kind: str, model: str, choice: dict[str, Any], prompt: int, completion: int) -> Response:
    """As JSON at once: what it holds is known, and FastAPI would look through every logprob of it."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return JSONResponse(
        {
            "id": f"fake-{uuid.uuid4().hex[:12]}", "object": kind, "created": 1, "model": model,
            "choices": [choice], "usage": usage,
        }
    )  # fmt: skip


def _logprob(token: Token, top: int) -> dict[str, Any]:
    entries = [{"token": text, "logprob": logprob, "bytes": None} for text, logprob in token.top(top)]
    return {"token": token.text, "logprob": token.logprob, "bytes": None, "top_logprobs": entries}


_UNCHECKED = ("steps_per_batch", "feedback_repetitions")


def _add_feedback(app: FastAPI, deployment: FakeDeployment) -> None:
    @app.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        """The last two training fields are not checked, and the older generation does not know them."""
        body = await request.json()
        unchecked = _take_unchecked(body)
        try:
            parsed = FeedbackRequest.model_validate(body)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"detail": problems}, status_code=422)
        if parsed.orchestration.sleep_before and deployment.settings.never_idle:
            raise Refused(503, "vLLM did not go idle")
        if any(values != unchecked[0] for values in unchecked):
            raise Refused(400, "all requests of a batch must have the same training")
        metadata = deployment.train(parsed.requests, steps_per_batch=unchecked[0][0])
        lora_id = parsed.requests[0].lora_id
        return JSONResponse(
            {
                "status": "ok",
                "request_id": uuid.uuid4().hex,
                "lora_id": lora_id,
                "distill_result": {"lora_id": lora_id, "metadata": metadata},
                "vllm": {"slept": False, "woke": False},
                "feedback_log_path": None,
                "timing_ms": {"distill": 1, "total": 2},
                "batch_size": len(parsed.requests),
            }
        )


def _take_unchecked(body: Any) -> list[tuple[int, int]]:
    """(steps_per_batch, feedback_repetitions) per item, taken out of what is validated."""
    items = body.get("requests", []) if isinstance(body, dict) else []
    trainings = [item.get("training", {}) for item in items if isinstance(item, dict)]
    return [(int(t.pop(_UNCHECKED[0], 4)), int(t.pop(_UNCHECKED[1], 1))) for t in trainings]


def _add_sampler(app: FastAPI, deployment: FakeDeployment) -> None:
    def check_there() -> None:
        if not deployment.settings.sampler_endpoints:
            raise HTTPException(404, "Not Found")

    @app.get("/v1/sampler/status")
    async def status() -> dict[str, str | None]:
        check_there()
        return {"model_path": deployment.sampler_path, "base_model": deployment.base_model}

    @app.post("/v1/sampler/refresh")
    async def refresh(request: SamplerRefreshRequest) -> dict[str, str | None]:
        check_there()
        deployment.refresh_sampler(request.model_path)
        return {"model_path": deployment.sampler_path}

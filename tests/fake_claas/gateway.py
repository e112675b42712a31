"""A fake OpenClaw gateway, as a real one (2026.9.6) was observed to behave in front of a CLaaS."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from claas_assets.wire import model_name, strip_thinking
from tests.fake_claas.faults import Faults
from tests.fake_claas.recorder import Log, Recorder
from tests.fake_claas.serving import Serving

DEVELOPMENT_TOKEN = "openclaw-local-dev-token"
SYSTEM_PROMPT = "You run inside OpenClaw. " + "Follow the workspace rules with care. " * 700
NOTICE = "⚠️ Reply truncated at the model's output token limit. The text above is partial — ask to continue it."
PLACEHOLDER = "No response from OpenClaw."
HIDDEN_TURN = "Your last reply was empty. Answer the user now."
_DROPPED = ("logprobs", "top_logprobs", "model", "max_tokens", "messages")
_DIRECTIVE = re.compile(r"^MEDIA:.*\n?|\[\[reply_to_current\]\] ?", re.MULTILINE)


@dataclass
class GatewaySettings:
    """What a test may set, also while it runs."""

    honors_names: bool = True
    """Whether `x-openclaw-model` picks the model; if not, the configured one always answers."""
    denies_tools_for: Literal["provider", "model"] = "provider"
    """`model`: the configured one alone, so tools are offered to a model that the header names."""
    nothing: Literal["500", "placeholder"] = "500"
    """What is answered where the model answered nothing twice: another version says the placeholder."""
    silence_s: float = 3.0
    """How long nothing comes where the upstream fails with a plain-text 500; a real one: 100 s and more."""


class FakeGateway:
    """In front of the CLaaS at `claas_url`, configured with the adapter `lora_id` (which may be set later)."""

    def __init__(
        self, claas_url: str, lora_id: str = "", *, token: str = DEVELOPMENT_TOKEN, port: int = 0, **settings: Any
    ) -> None:
        self.claas_url = claas_url
        self.lora_id = lora_id
        self.token = token
        self.settings = GatewaySettings(**settings)
        self.log = Log()
        self.faults = Faults()
        self.latency_s: dict[str, float] = {}
        self._serving = Serving(Recorder(self._app(), self.log, self.faults, self.latency_s), port)
        self.url = self._serving.url

    def close(self) -> None:
        self._serving.close()

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _app(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @app.get("/v1/models")
        async def models(request: Request) -> Response:
            cards = [{"id": name, "object": "model", "owned_by": "openclaw"} for name in ("openclaw", "openclaw/main")]
            return self._unauthorized(request) or JSONResponse({"object": "list", "data": cards})

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            named = request.headers.get("x-openclaw-model") if self.settings.honors_names else None
            return self._unauthorized(request) or await self._answer(await request.json(), named)

        return app

    def _unauthorized(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self.token}":
            return None
        return _error(401, "Unauthorized", "unauthorized")

    async def _answer(self, body: dict[str, Any], named: str | None) -> Response:
        """An empty answer is asked for again, with a turn that the user never sees."""
        if not str(body.get("model", "")).startswith("openclaw"):
            return _error(400, "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.", "invalid_request_error")
        sent = self._as_sent(body, named)
        for _ in range(2):
            upstream = await self._upstream(sent)
            if upstream is None or upstream.status_code != 200:
                return await self._failed(upstream)
            choice = upstream.json()["choices"][0]
            text = strip_thinking(choice["message"]["content"])
            if text.strip() not in ("", "NO_REPLY"):
                return _answered(body, text, cut=choice["finish_reason"] == "length")
            sent = {**sent, "messages": [*sent["messages"], {"role": "user", "content": HIDDEN_TURN}]}
        if self.settings.nothing == "placeholder":
            return _answered(body, PLACEHOLDER, cut=False)
        return _error(500, "internal error", "api_error")

    def _as_sent(self, body: dict[str, Any], named: str | None) -> dict[str, Any]:
        """`max_tokens` becomes `max_completion_tokens`, which public CLaaS ignores; logprobs are dropped."""
        configured = model_name(self.lora_id)
        model = (named or configured).removeprefix("claas/")
        sent = {key: value for key, value in body.items() if key not in _DROPPED}
        sent |= {"model": model, "messages": _as_gateway(body["messages"], model)}
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
        if "max_tokens" in body:
            sent["max_completion_tokens"] = body["max_tokens"]
        if self.settings.denies_tools_for == "model" and model != configured:
            sent["tools"] = [{"type": "function", "function": {"name": f"tool_{i}"}} for i in range(12)]
            sent["messages"].insert(1, {"role": "user", "content": "Context: the tools above may be used."})
        return sent

    async def _upstream(self, sent: dict[str, Any]) -> httpx.Response | None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            try:
                return await client.post(f"{self.claas_url}/v1/chat/completions", json=sent, timeout=60)
            except httpx.RequestError:
                return None

    async def _failed(self, upstream: httpx.Response | None) -> Response:
        if upstream is None:
            return _error(500, "internal error", "api_error")
        if upstream.status_code == 500:
            await asyncio.sleep(self.settings.silence_s)
            return _error(500, "internal error", "api_error")
        known = {
            401: (401, "the provider refused its key", "authentication_error"),
            404: (404, "model not found", "not_found"),
            503: (502, "upstream unavailable", "api_error"),
        }
        return _error(*known.get(upstream.status_code, (500, "internal error", "api_error")))


def _answered(body: dict[str, Any], text: str, *, cut: bool) -> Response:
    """A stream of public CLaaS carries no usage, so there is none to hand on."""
    visible = _DIRECTIVE.sub("", text) + (f"\n\n{NOTICE}" if cut else "")
    choice = {"index": 0, "message": {"role": "assistant", "content": visible}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return JSONResponse(
        {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }
    )


def _error(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind}}, status_code=status)


def _as_gateway(messages: list[dict[str, str]], model: str) -> list[dict[str, str]]:
    stamped = [
        {**m, "content": f"[Mon 2026-11-23 21:25 UTC] {m['content']}\n\nRuntime: agent=main session=fake"}
        if m["role"] == "user"
        else m
        for m in messages
    ]
    return [{"role": "system", "content": f"{SYSTEM_PROMPT}\nCurrent model identity: claas/{model}"}, *stamped]

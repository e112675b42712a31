"""A fake OpenClaw gateway, as observed: its own long system prompt, a stamped message, no logprobs."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from claas_assets.wire import model_name
from tests.fake_claas.faults import Faults
from tests.fake_claas.recorder import Log, Recorder
from tests.fake_claas.serving import Serving

DEVELOPMENT_TOKEN = "openclaw-local-dev-token"
SYSTEM_PROMPT = "You run inside OpenClaw. " + "Follow the workspace rules with care. " * 700
_DROPPED = ("logprobs", "top_logprobs", "model", "max_tokens", "messages")


class FakeGateway:
    """In front of the CLaaS at `claas_url`, for the adapter `lora_id` (which may be set later)."""

    def __init__(self, claas_url: str, lora_id: str = "", *, token: str = DEVELOPMENT_TOKEN, port: int = 0) -> None:
        self.claas_url = claas_url
        self.lora_id = lora_id
        self.token = token
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

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"error": {"message": "Unauthorized", "type": "unauthorized"}}, status_code=401)
            return await self._forward(await request.json())

        return app

    async def _forward(self, body: dict[str, Any]) -> Response:
        """`max_tokens` becomes `max_completion_tokens`, which CLaaS ignores."""
        sent = {key: value for key, value in body.items() if key not in _DROPPED}
        sent |= {"model": model_name(self.lora_id), "messages": _as_gateway(body["messages"])}
        if "max_tokens" in body:
            sent["max_completion_tokens"] = body["max_tokens"]
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.claas_url}/v1/chat/completions", json=sent, timeout=60)
        if answer.status_code != 200:
            error = {"message": "internal error", "type": "api_error"}
            return JSONResponse({"error": error}, status_code=answer.status_code)
        return JSONResponse({**answer.json(), "model": body.get("model", "openclaw")})


def _as_gateway(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    stamped = [
        {**m, "content": f"[Mon 2026-11-23 21:25 UTC] {m['content']}\n\nRuntime: agent=main session=fake"}
        if m["role"] == "user"
        else m
        for m in messages
    ]
    return [{"role": "system", "content": SYSTEM_PROMPT}, *stamped]

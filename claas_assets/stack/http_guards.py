"""What every request passes before a route sees it: size, encoding, text that can be written down."""

import json
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claas_assets.stack.state import State

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request's body; the longest prompts that fit the context are a fraction of it."""
ERROR_TYPES = {404: "not_found_error", 500: "server_error"}


def error_answer(status: int, detail: Any) -> JSONResponse:
    """An error as CLaaS says it (`detail`) and as OpenAI clients read it (`error`)."""
    message = detail if isinstance(detail, str) else "; ".join(f"{e['loc']}: {e['msg']}" for e in detail)
    error = {"message": message, "type": ERROR_TYPES.get(status, "invalid_request_error"), "code": status}
    return AsciiJSON({"detail": detail, "error": error}, status_code=status)


class AsciiJSON(JSONResponse):
    """JSON whose text may hold anything that a request held, lone surrogates too."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


class Gate:
    """ASGI middleware: counts running requests, and refuses bodies that are too large or compressed."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.state.begin_request()
        try:
            headers = Headers(scope=scope)
            if headers.get("content-encoding", "identity") != "identity":
                await error_answer(415, "a request's body must not be compressed")(scope, receive, send)
            elif _declared(headers) > MAX_BODY:
                await _too_large()(scope, receive, send)
            else:
                await self._limited(scope, receive, send)
        finally:
            self.state.end_request()

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without a declared length is counted as it comes."""
        size, over = 0, False

        async def counted() -> Message:
            nonlocal size, over
            message = await receive()
            size += len(message.get("body", b""))
            over = over or size > MAX_BODY
            return {"type": "http.disconnect"} if over else message

        async def answer(message: Message) -> None:
            if not over:
                await send(message)

        try:
            await self.app(scope, counted, answer)
        except Exception:
            if not over:  # what was read of a body that is too large fails in many ways
                raise
        if over:
            await _too_large()(scope, receive, send)


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _too_large() -> JSONResponse:
    return error_answer(413, f"the request's body is larger than {MAX_BODY} bytes")


async def check_text(request: Request) -> None:
    r"""Refuses JSON that escapes half a character (`"\ud800"`): no such text can be tokenized or stored."""
    body = await request.body()
    if b"\\ud" not in body.lower():
        return
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise HTTPException(422, "the body's text holds a lone surrogate (half of a UTF-16 pair)") from None
    except ValueError:
        return  # no JSON: said where the body is parsed

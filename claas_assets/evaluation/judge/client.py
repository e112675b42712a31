"""Any OpenAI-compatible model, asked by chat: the judge, and the one that drafts prompts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import stamina

from claas_assets.evaluation import foreign_json
from claas_assets.evaluation.errors import ConfigError, JudgeError
from claas_assets.evaluation.http_bodies import NO_PROXY, bounded_body
from claas_assets.evaluation.storage.records import Message

URL_VARIABLE = "CLAAS_JUDGE_URL"
MODEL_VARIABLE = "CLAAS_JUDGE_MODEL"
KEY_VARIABLE = "CLAAS_JUDGE_KEY"
REPLY_VARIABLE = "CLAAS_JUDGE_MAX_TOKENS"
REPLY_TOKENS = 1024
"""Of a judge's reply, where the environment says nothing: one word, after the thinking of a model that thinks."""
AT_ONCE = 8
"""Requests in flight."""
MAX_BYTES = 4 * 2**20
"""Of an answer."""
_TIMEOUT_S = 120.0
"""Of a whole answer."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _MayPass(Exception):
    """A failure that another try may not see."""


@dataclass
class ChatModel:
    """A model at `url` (the address before `/chat/completions`). Asks `AT_ONCE` questions side by side at most.

    Used as an async context manager.
    """

    url: str
    model: str | None = None
    """None: the first that the address lists."""
    key: str | None = field(default=None, repr=False)
    reply_tokens: int = REPLY_TOKENS
    """Token limit of a judge's reply."""
    attempts: int = 4
    wait_s: float = 1.0
    """Before the second attempt; doubled before each later one."""

    async def __aenter__(self) -> ChatModel:
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_S, headers=headers, mounts=NO_PROXY, base_url=self.url)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        try:
            self.model = self.model or await self._first_model()
        except BaseException:  # raised again: an exit that is never reached closes nothing, a cancellation included
            await self._http.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, messages: Sequence[Message], *, max_tokens: int) -> str:
        """The reply, at temperature 0. Raises `JudgeError`."""
        body = {
            "model": self.model,
            "messages": [message.model_dump(include={"role", "content"}) for message in messages],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        async with self._at_once:
            answer = await self._request("POST", "chat/completions", body)
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise JudgeError(f"{self._where} answered a chat without choices[0].message.content") from error
        if not isinstance(content, str):
            raise JudgeError(f"{self._where} answered a chat with no text")
        return content

    async def _first_model(self) -> str:
        answer = await self._request("GET", "models")
        try:
            return str(answer["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise JudgeError(f"{self._where} lists no model at /models: name one in {MODEL_VARIABLE}") from error

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        try:
            async for attempt in stamina.retry_context(
                on=_MayPass, attempts=self.attempts, wait_initial=self.wait_s, wait_max=30, timeout=None
            ):
                with attempt:
                    return await self._once(method, path, body)
        except _MayPass as error:
            raise JudgeError(f"{self._where} failed {self.attempts} times: {error}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, method: str, path: str, body: object) -> Any:
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._http.stream(method, path, json=body) as answer:
                text = await self._text_of(answer, path)
        except (httpx.RequestError, TimeoutError) as error:
            raise _MayPass(f"{type(error).__name__}") from error
        if answer.status_code in _AGAIN:
            raise _MayPass(f"status {answer.status_code}")
        if not answer.is_success:
            said = text[:300].replace(self.key, "(the key)") if self.key else text[:300]  # some say the key back
            raise JudgeError(f"{self._where} refused with status {answer.status_code}: {said}")
        try:
            return foreign_json.loads(text)
        except ValueError as error:
            raise JudgeError(f"{self._where} answered {path} with something that is not JSON") from error

    async def _text_of(self, answer: httpx.Response, path: str) -> str:
        try:
            body = await bounded_body(answer, MAX_BYTES)
        except ValueError as error:
            raise JudgeError(f"{self._where}, {path}: {error}") from None
        return body.decode("utf-8", errors="replace")

    @property
    def _where(self) -> str:
        return f"the model at {self.url}"


def judge_of_environment() -> ChatModel:
    """The judge that the environment names. Raises `ConfigError`, naming the variable."""
    url = os.environ.get(URL_VARIABLE, "").strip()
    if not url:
        raise ConfigError(
            f"a verifier of the preference is a judge, and {URL_VARIABLE} is not set in the environment: export the "
            f"address of an OpenAI-compatible model (http://host:port/v1), {MODEL_VARIABLE} where it serves several, "
            f"and {KEY_VARIABLE} where it asks for a key"
        )
    return chat_model_at(url, URL_VARIABLE)


def chat_model_at(url: str, named_in: str) -> ChatModel:
    """The model at `url`, with the model name and the key of the environment. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is none
        usable = False
    if not usable or "@" in url or parts.query or parts.fragment:
        raise ConfigError(f"{named_in} must be an address such as http://host:port/v1, without user, password or query")
    key, model = (os.environ.get(name, "").strip() or None for name in (KEY_VARIABLE, MODEL_VARIABLE))
    address = url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"
    return ChatModel(address, model=model, key=key, reply_tokens=_reply_tokens())


def _reply_tokens() -> int:
    said = os.environ.get(REPLY_VARIABLE, "").strip() or str(REPLY_TOKENS)
    if not (said.isascii() and said.isdigit() and 0 < int(said) <= 100_000):
        raise ConfigError(f"{REPLY_VARIABLE} is {said[:20]!r}, and must be a number of tokens, 1 to 100000")
    return int(said)

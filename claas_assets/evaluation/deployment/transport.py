"""HTTP requests to a deployment: sent once, or repeated where that is harmless; bounded either way.

Which faults are repeated, and what the last one becomes:

    a broken or refused connection, a time-out   repeated   DeploymentUnreachable
    502, 503                                     repeated   DeploymentUnreachable
    429, 504                                     repeated   RequestRefused
    500 without a JSON body                      repeated   RequestRefused (see `Call.repeats_of_plain_500`)
    any other status from 300                    not        RequestRefused

The token of a gateway never reaches a message: it is blotted out of what a server answers as that arrives.
"""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import httpx
import stamina

from claas_assets.evaluation.errors import (
    ConfigError,
    DeploymentUnreachable,
    ForbiddenInAudit,
    MalformedAnswer,
    RequestRefused,
)
from claas_assets.evaluation.foreign_json import without_lone_surrogates
from claas_assets.evaluation.http_bodies import NO_PROXY, bounded_body

_log = logging.getLogger(__name__)


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    _log.info("attempt %d failed (%s), the next in %.1f s", details.retry_num, details.caused_by, details.wait_for)


# Stamina's own hook prints to stdout wherever structlog is installed, and Dagster brings it: the lines
# of a command's result would stand among notes on retries, which each answer counts anyway.
stamina.instrumentation.set_on_retry_hooks([_log_retry])

MAX_ANSWER_BYTES = 64 * 2**20
_SHOWN = 1024  # characters of an answer that are kept in an error
_CONTEXT_WORDS = b"maximum context length"
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_PASSING_FAULTS = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)


@dataclass(frozen=True)
class RetryBudget:
    """How long passing faults are waited out. Seconds; `total_s` counts from the first attempt."""

    attempts: int = 6
    total_s: float = 300.0
    wait_initial_s: float = 0.5
    wait_max_s: float = 10.0
    jitter_s: float = 1.0


@dataclass(frozen=True)
class Timeouts:
    """Seconds after which a call is given up, its whole answer included."""

    init_s: float = 300.0  # a cold start takes minutes
    generate_s: float = 600.0
    feedback_s: float = 600.0
    refresh_s: float = 300.0
    read_s: float = 30.0


@dataclass(frozen=True)
class Call:
    """One request. `headers` may hold a token.

    `repeats_of_plain_500` bounds how often a plain-text 500 is answered by the same request (None:
    as the budget allows). Where such a 500 may mean an error for ever (an unknown adapter, a context
    too long), a few repeats tell it from a passing fault; more would only cost time.
    """

    method: str
    url: str
    json_body: str | None = field(default=None, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 60.0
    repeats_of_plain_500: int | None = None
    max_bytes: int | None = None
    """Of the answer; null: `MAX_ANSWER_BYTES`."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True)
class Reply:
    """An answer. `latency_s`: of the request that was answered; `retries`: requests before it that were not."""

    call: Call
    status: int
    body: bytes = field(repr=False)
    location: str | None = None
    latency_s: float = 0.0
    retries: int = 0

    @cached_property
    def json(self) -> Any:
        """The parsed body; None where it is not JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def text(self) -> str:
        """The body with U+FFFD where it is not UTF-8, and where JSON escapes half of a surrogate pair."""
        return without_lone_surrogates(self.body.decode("utf-8", errors="replace"))

    @property
    def error_words(self) -> str:
        """What FastAPI's `detail`, OpenAI's `error`, or another server's `errors` or `message` says; else ""."""
        parsed = self.json
        if not isinstance(parsed, dict):
            return ""
        error = parsed.get("error")
        words = parsed.get("detail") or (error.get("message") if isinstance(error, dict) else error)
        words = words or parsed.get("errors") or ("choices" not in parsed and parsed.get("message"))
        return words if isinstance(words, str) else json.dumps(words) if words else ""

    @property
    def is_plain_500(self) -> bool:
        return self.status == 500 and self.json is None

    @property
    def says_context(self) -> bool:
        return self.status >= 400 and _CONTEXT_WORDS in self.body.lower()

    @property
    def is_endpoint_missing(self) -> bool:
        """No such endpoint, as against an endpoint that does not know what was asked for.

        FastAPI answers an unknown path with `{"detail": "Not Found"}`; endpoints of CLaaS say what
        they did not find.
        """
        if self.status == 405:
            return True
        return self.status == 404 and self.json in (None, {"detail": "Not Found"})


class Transport:
    """The connections of one run. `secret` is blotted out of whatever servers say.

    `measures_only`: of an audit. What could make, train or delete an adapter raises `ForbiddenInAudit` unsent: every
    request goes through `_exchange`, and that is the one place.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        retry: RetryBudget,
        secret: str | None = None,
        proxies: bool = True,
        measures_only: bool = False,
    ) -> None:
        self._retry = stamina.AsyncRetryingCaller(
            attempts=retry.attempts,
            timeout=retry.total_s,
            wait_initial=retry.wait_initial_s,
            wait_max=retry.wait_max_s,
            wait_jitter=retry.jitter_s,
        )
        self._measures_only = measures_only
        self._secret = secret.encode() if secret else None
        # A client a connection: httpx's pool looks at every idle connection for each request, which was a
        # fifth of what a request costs here. Idle ones are closed before the servers, uvicorn after 5 s, do.
        # Each is made when one more is needed: a hundred are a tenth of a second, and most evaluations use few.
        self._max_connections = max_connections
        self._proxies = proxies
        self._pool: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        # A pooled connection may be closed by the server just as it is used again, which looks like a call
        # of unknown effect. What must be sent once goes over a connection of its own.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self._fresh = _client(fresh, proxies)

    async def aclose(self) -> None:
        for client in (*self._pool, self._fresh):
            await client.aclose()

    @contextlib.contextmanager
    def _pooled(self) -> Iterator[httpx.AsyncClient]:
        """The client that was used last: its connection is the likeliest to be open still."""
        client = self._idle.pop() if self._idle else self._one_more()
        try:
            yield client
        finally:
            if client is not self._fresh:
                self._idle.append(client)

    def _one_more(self) -> httpx.AsyncClient:
        if len(self._pool) == self._max_connections:
            return self._fresh
        self._pool.append(_client(_ONE_CONNECTION, self._proxies))
        return self._pool[-1]

    async def once(self, call: Call) -> Reply:
        """Send over a fresh connection, whatever comes of it. Raises `httpx.RequestError`, `MalformedAnswer`."""
        return await self._exchange(self._fresh, call)

    async def repeatedly(self, call: Call) -> Reply:
        """Send, again where the fault may pass and the budget allows; only for what may be repeated.

        Returns the last answer whatever its status. Raises `DeploymentUnreachable`, `MalformedAnswer`.
        """
        attempts = 0
        plain_500s = 0

        def passes(error: Exception) -> bool:
            nonlocal plain_500s
            if not isinstance(error, _PassingAnswer):
                return isinstance(error, _PASSING_FAULTS)
            plain_500s += error.reply.is_plain_500
            allowed = call.repeats_of_plain_500
            return not error.reply.is_plain_500 or allowed is None or plain_500s <= allowed

        async def attempt() -> Reply:
            nonlocal attempts
            attempts += 1
            with self._pooled() as client:
                reply = await self._exchange(client, call, retries=attempts - 1)
            if reply.status in _PASSING_STATUS or reply.is_plain_500:
                raise _PassingAnswer(reply)
            return reply

        try:
            return await self._retry(passes, attempt)
        except _PassingAnswer as last:
            if last.reply.status in (502, 503):
                raise DeploymentUnreachable(f"{self.answered(last.reply)}, {_tries(attempts)}") from None
            return last.reply
        except httpx.RequestError as error:
            raise self.unreachable(call, error, attempts) from error

    async def _exchange(self, client: httpx.AsyncClient, call: Call, retries: int = 0) -> Reply:
        if self._measures_only and not _is_measuring(call):
            raise ForbiddenInAudit(f"{call.name} was not sent: an audit makes, trains and deletes nothing")
        request = client.build_request(
            call.method,
            call.url,
            params=dict(call.params) or None,
            content=call.json_body,
            headers={
                "Accept-Encoding": "identity",
                **call.headers,
                **({"Content-Type": "application/json"} if call.json_body is not None else {}),
            },
            # No time-out of its own for a place in the pool: the client's semaphore bounds what waits there.
            timeout=httpx.Timeout(call.timeout_s, connect=min(10.0, call.timeout_s), pool=None),
        )
        began = time.monotonic()
        try:
            # httpx bounds each read, not the whole: an answer that trickles in would never end.
            async with asyncio.timeout(call.timeout_s):
                response = await client.send(request, stream=True)
                async with contextlib.aclosing(response):
                    body = await _bounded_body(response, call)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the whole answer", request=request) from error
        return Reply(
            call=call,
            status=response.status_code,
            body=body.replace(self._secret, b"***") if self._secret else body,
            location=response.headers.get("location"),
            latency_s=time.monotonic() - began,
            retries=retries,
        )

    def unreachable(self, call: Call, error: httpx.RequestError, attempts: int = 1) -> DeploymentUnreachable:
        return DeploymentUnreachable(f"{call.name}: {_fault(error, call)}, {_tries(attempts)}")

    def fault(self, call: Call, error: httpx.RequestError) -> str:
        return f"{call.name}: {_fault(error, call)}"

    def refused(self, reply: Reply, advice: str = "") -> RequestRefused:
        """The error of an answer with a status of 300 and above, in the server's own words."""
        message = self.answered(reply) + (f". {advice}" if advice else "")
        return RequestRefused(message, status=reply.status, body=reply.text[:_SHOWN])

    def answered(self, reply: Reply) -> str:
        words = reply.error_words or reply.text.strip()
        if reply.location is not None:
            words = f"redirected to {reply.location}, which is not followed"
        words = words[:_SHOWN]
        return f"{reply.call.name} answered {reply.status}" + (f": {words}" if words else "")


_ONE_CONNECTION = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=4.0)
_MEASURING_POSTS = ("/v1/chat/completions", "/v1/score", "/v1/sampler/refresh")


def _is_measuring(call: Call) -> bool:
    """Whether the call leaves every adapter as it is. What is not known to do so does not."""
    return call.method == "GET" or (call.method == "POST" and call.url.endswith(_MEASURING_POSTS))


def _client(limits: httpx.Limits, proxies: bool) -> httpx.AsyncClient:
    """`proxies`: those of the environment are for addresses elsewhere; this machine's are spoken to directly."""
    try:
        return httpx.AsyncClient(
            limits=limits, mounts=NO_PROXY, trust_env=proxies, follow_redirects=False, verify=_ssl_context()
        )
    except (ImportError, ValueError) as error:  # httpx reads the environment, and knows not every proxy
        raise ConfigError(f"a proxy that the environment names (ALL_PROXY, HTTPS_PROXY, …): {error}") from error


@cache
def _ssl_context() -> ssl.SSLContext:
    """Reading the certificates takes some 20 ms: once is enough."""
    return httpx.create_ssl_context()


class _PassingAnswer(Exception):
    """An answer whose status may pass: what the retries see."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


async def _bounded_body(response: httpx.Response, call: Call) -> bytes:
    try:
        return await bounded_body(response, call.max_bytes or MAX_ANSWER_BYTES)
    except ValueError as error:
        raise MalformedAnswer(f"{call.name}: {error}") from None


def _tries(attempts: int) -> str:
    return "tried once" if attempts == 1 else f"tried {attempts} times"


def _fault(error: httpx.RequestError, call: Call) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"no connection ({error or type(error).__name__})"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {call.timeout_s:g} s"
    return f"the connection broke ({error or type(error).__name__})"

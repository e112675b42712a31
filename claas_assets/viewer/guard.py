"""What every answer of the viewer passes: the Host header checked, and headers that let a page do nothing."""

from collections.abc import Iterable
from typing import Any

LOOPBACK = ("localhost", "127.0.0.1", "::1")

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TEXT_POLICY = "default-src 'none'; sandbox; base-uri 'none'; frame-ancestors 'none'"

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def host_name(header: str) -> str:
    """The name in a Host header, without its port: "localhost:8000", "[::1]:8000"."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


class Guard:
    """ASGI middleware. A page of another origin that resolved its own name to 127.0.0.1 (DNS rebinding) still
    sends that name as Host: it gets a 421 and no result.
    """

    def __init__(self, app: Any, allowed_hosts: Iterable[str] = LOOPBACK) -> None:
        self.app = app
        self.allowed = frozenset(name.strip("[]").lower() for name in allowed_hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with_ours(message.get("headers", []))}
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and host_name(hosts[0].decode("latin-1")) in self.allowed:
            await self.app(scope, receive, send_guarded)
            return
        body = b"This server answers to " + ", ".join(sorted(self.allowed)).encode() + b" alone (Host header).\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send_guarded({"type": "http.response.start", "status": 421, "headers": headers})
        await send_guarded({"type": "http.response.body", "body": body})


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's own headers win: a raw text has a stricter policy."""
    given = list(headers)
    named = {name.lower() for name, _ in given}
    return [*given, *((n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in named)]

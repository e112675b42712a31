"""What our HTTP clients share: no proxy to this machine, and an answer's body that is never read beyond a bound."""

import zlib
from collections.abc import Callable

import httpx

NO_PROXY = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
"""For httpx's `mounts`: a proxy of the environment is for addresses elsewhere."""


async def bounded_body(response: httpx.Response, most_bytes: int) -> bytes:
    """The body of a streamed `response`, inflated where it is compressed: some kilobytes can hold gigabytes.

    Raises `ValueError`, in words about the answer, where it is longer or cannot be inflated.
    """
    inflate = _inflater(response.headers.get("content-encoding", "identity").strip().lower())
    body = bytearray()
    try:
        async for part in response.aiter_raw():
            body += inflate(part, most_bytes + 1 - len(body)) if inflate else part
            if len(body) > most_bytes:
                raise ValueError(f"the answer is larger than {most_bytes // 2**20} MiB")
    except zlib.error as error:
        raise ValueError(f"the answer's compression is broken ({error})") from None
    return bytes(body)


def _inflater(encoding: str) -> Callable[[bytes, int], bytes] | None:
    """(part, most bytes) → inflated bytes; None where nothing is compressed. We ask for no compression."""
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=47).decompress  # gzip's header or zlib's
    raise ValueError(f"the answer is encoded as {encoding[:80]!r}; one layer of gzip is read")

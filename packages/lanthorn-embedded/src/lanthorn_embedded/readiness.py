"""Asking a service of ours whether it serves yet, without an HTTP library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lanthorn_embedded.errors import NotReady
from lanthorn_embedded.sockets import LOOPBACK

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server said."""

    status: int
    body: bytes


async def http_get(host: str, port: int, path: str, *, timeout_s: float = 5.0) -> Answer:
    """Send one GET request to a local server and read its short answer.

    Parameters
    ----------
    host : str
        IPv4 address.

    Raises
    ------
    OSError
        Nobody listens, nobody answers in time (TimeoutError is one), or not in HTTP.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            received = bytearray()
            while len(received) < _MOST_BYTES:
                part = await reader.read(_MOST_BYTES)
                if not part:
                    break
                received += part
        finally:
            writer.close()
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError("the answer is not HTTP")
    return Answer(int(words[1]), body)


def service_ready(port: int) -> Callable[[], Awaitable[None]]:
    """Make the check of a service that answers ``GET /readyz`` (200, or 503 with reasons)."""

    async def check() -> None:
        try:
            answer = await http_get(LOOPBACK, port, "/readyz")
        except OSError as exc:
            raise NotReady(f"no answer on port {port} yet ({exc or type(exc).__name__})") from exc
        if answer.status != 200:
            raise NotReady(_reason(answer))

    return check


def _reason(answer: Answer) -> str:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return f"/readyz answered {answer.status}"
    return json.dumps(document, ensure_ascii=False)

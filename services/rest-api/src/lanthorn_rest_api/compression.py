"""Compressed answers for clients that take them: Orthanc's `HttpCompressionEnabled`.

Only texts of some size are worth it (reference 1.9.7): pictures, archives and most DICOM files are
compressed already, and ranges of bytes must stay what they are.
"""

from __future__ import annotations

from typing import Final

from isal import igzip
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_BYTES: Final = 2048
COMPRESSIBLE: Final = ("application/json", "application/javascript", "text/")
_OK: Final = 200


class CompressedAnswers:
    """ASGI middleware: gzip for whole texts that are sent at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _takes_gzip(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                compressed = _compressed(start, message)
                await send(start)
                start = None
                if compressed is not None:
                    message = {**message, "body": compressed}
            await send(message)

        await self._app(scope, receive, send_compressed)


def _takes_gzip(headers: Headers) -> bool:
    accepted = [part.strip() for part in headers.get("Accept-Encoding", "").lower().split(",")]
    return any(
        part.partition(";")[0] in {"gzip", "*"} and part.replace(" ", "").partition(";")[2] != "q=0"
        for part in accepted
    )


def _compressed(start: Message, message: Message) -> bytes | None:
    """Compress a body and tell so in its headers, or return None where it stays as it is."""
    headers = MutableHeaders(scope=start)
    body: bytes = message.get("body", b"")
    if (
        start["status"] != _OK
        or message.get("more_body", False)
        or len(body) < SMALLEST_BYTES
        or "Content-Encoding" in headers
        or not headers.get("Content-Type", "").startswith(COMPRESSIBLE)
    ):
        return None
    compressed: bytes = igzip.compress(body)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(compressed))
    headers.add_vary_header("Accept-Encoding")
    return compressed

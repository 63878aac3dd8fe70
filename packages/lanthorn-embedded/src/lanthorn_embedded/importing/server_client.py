"""HTTP requests to a server of an import: patient with one that is busy, silent about passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import httpx2

from lanthorn_embedded.errors import ConfigurationError, EmbeddedError
from lanthorn_embedded.importing.content import Content, closed_on_failure

Answer = TypeVar("Answer")

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""A function gives the body anew for another attempt."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 16.0
ATTEMPTS: Final = 8

_BUSY: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_TIMEOUT: Final = httpx2.Timeout(300.0, connect=10.0)
"""A large file may take a while to be stored, a large study to be listed."""


class ServerUnavailable(EmbeddedError):
    """A server does not answer, or not with what such a server answers: the import ends."""

    slug = "import-server-unavailable"


class AccessDenied(EmbeddedError):
    """A server asks for another user or password."""

    slug = "import-access-denied"


class ServerFull(EmbeddedError):
    """The target has no room left."""

    slug = "import-target-full"


class RequestRefused(EmbeddedError):
    """A server refuses one thing: the others go on."""

    slug = "import-refused"

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is and who asks; `url` has neither user nor password."""

    url: str
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"ServerAddress({self.url!r})"


def parse_address(text: str) -> ServerAddress:
    """Read ``http://user:password@host:port/path``.

    Raises
    ------
    ConfigurationError
        It is no such thing.
    """
    try:
        parts = urlsplit(text)
        is_complete = parts.scheme in {"http", "https"} and bool(parts.hostname)
        port = parts.port
    except ValueError:
        is_complete, port = False, None
    if not is_complete:
        raise ConfigurationError("a server is named like http://user@host:8042")
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port else ""
    return ServerAddress(
        f"{parts.scheme}://{place}{parts.path.rstrip('/')}",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


class ServerClient:
    """One server's REST API.

    Parameters
    ----------
    address : ServerAddress
        Where it is.
    connections : int
        Requests under way at a time; further ones wait.
    """

    def __init__(self, address: ServerAddress, connections: int) -> None:
        self.url = address.url
        has_user = bool(address.username or address.password)
        self._client = httpx2.AsyncClient(
            base_url=address.url,
            auth=(address.username, address.password) if has_user else None,
            timeout=_TIMEOUT,
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get_json(self, path: str, **query: str | int) -> Any:
        """Ask for a JSON document."""
        return _json(await self._ask("GET", path, query=query))

    async def post_json(self, path: str, body: bytes) -> Any:
        """Send a body, JSON or not, and return the JSON document of the answer."""
        return _json(await self._ask("POST", path, body=body))

    async def get_bytes(self, path: str) -> bytes:
        """Ask for a value."""
        return (await self._ask("GET", path)).content

    async def upload(self, method: str, path: str, size_bytes: int, body: Body) -> bytes:
        """Send a file; returns what is answered."""
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
        return (await self._ask(method, path, body=body, headers=headers)).content

    async def download(self, path: str) -> Content:
        """Ask for a file."""

        async def attempt() -> Content:
            with closed_on_failure(Content()) as content:
                async with self._answer("GET", path) as answer:
                    async for piece in answer.aiter_bytes():
                        content.write(piece)
            return content

        return await _patiently(attempt)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        async def attempt() -> httpx2.Response:
            async with self._answer(method, path, query, body, headers) as answer:
                await answer.aread()
                return answer

        return await _patiently(attempt)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        content = body if isinstance(body, bytes) else body()
        try:
            async with self._client.stream(
                method, path, params=query or None, content=content, headers=headers
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    self._complain(path, answer)
                yield answer
        except httpx2.TransportError as exc:
            words = str(exc) or type(exc).__name__
            raise ServerUnavailable(f"{self.url} does not answer: {words}") from exc

    def _complain(self, path: str, answer: httpx2.Response) -> None:
        status = answer.status_code
        if status in _BUSY:
            raise ServerUnavailable(f"{self.url} answers {status} to {path}")
        if status == HTTPStatus.UNAUTHORIZED:
            raise AccessDenied(f"{self.url} does not let this user in")
        if status == HTTPStatus.INSUFFICIENT_STORAGE:
            raise ServerFull(f"{self.url} has no room left")
        raise RequestRefused(status, f"{self.url} answers {status} to {path}{_details(answer)}")


async def _patiently(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Try again, later and later, what a server is too busy or too far away for."""
    pause_s = FIRST_PAUSE_S
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except ServerUnavailable:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return await attempt()


def _json(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError as exc:
        raise ServerUnavailable(f"{answer.url.path} was not answered with JSON") from exc


def _details(answer: httpx2.Response) -> str:
    try:
        document = answer.json()
        text = str(document.get("Details") or document.get("Message") or "")
    except (ValueError, AttributeError):
        return ""
    return f": {text}" if text else ""

"""The renderer over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

import httpx2

from lanthorn_core.errors import (
    DeadlineExceeded,
    LanthornError,
    RendererUnavailable,
    every_error,
)
from lanthorn_core.ports.renderer import RenderedImage, RenderRequest, TranscodeRequest
from lanthorn_core.telemetry.requests import request_headers

_PROBLEM_PREFIX: Final = "/problems/"
_IDLE_S: Final = 30.0
"""Shorter than the renderer keeps idle connections (60 s), so that none is used that it closed."""


class HttpRenderer:
    """Client of the renderer service; the port `lanthorn_core.ports.renderer.Renderer`.

    Parameters
    ----------
    url : str
        Where the renderer is, such as ``http://127.0.0.1:8044``.
    timeout_s : float
        What a picture may take, waiting for a decoder included.
    connections : int
        How many requests are under way at a time; further ones wait.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0, connections: int = 32) -> None:
        limits = httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_IDLE_S,
        )
        self._client = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(timeout_s, connect=5.0),
            # Behind one name there may be several, of which one has just ended.
            transport=httpx2.AsyncHTTPTransport(limits=limits, trust_env=False, retries=1),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(exc_type, exc, traceback)

    async def render(self, request: RenderRequest) -> RenderedImage:
        """Decode one frame and encode it as asked.

        Raises
        ------
        NotRenderable, DecodeFailed, UnknownResource, InvalidParameter
            What the renderer says of the image.
        RendererUnavailable, DeadlineExceeded
            It does not answer, or too late.
        """
        fields = {name: value for name, value in asdict(request).items() if value is not None}
        response = await self._get("/v1/frame", fields)
        return RenderedImage(response.headers["content-type"], response.content)

    async def transcode(self, request: TranscodeRequest) -> AsyncIterator[bytes]:
        """Write an object in another transfer syntax.

        Raises
        ------
        UnsupportedTransferSyntax, NotRenderable, DecodeFailed, UnknownResource
            What the renderer says of the object, before any bytes.
        RendererUnavailable, DeadlineExceeded
            It does not answer, or too late, or no more.
        """
        with _translated():
            fields = asdict(request)
            async with self._client.stream(
                "GET", "/v1/transcoded", params=fields, headers=request_headers()
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise _error_of(response)
                async for chunk in response.aiter_raw():
                    yield chunk

    async def check(self) -> None:
        """Return when the renderer answers."""
        await self._get("/readyz", {})

    async def _get(
        self, path: str, query: Mapping[str, str | int | float | bool]
    ) -> httpx2.Response:
        with _translated():
            response = await self._client.get(path, params=query, headers=request_headers())
        if response.is_success:
            return response
        raise _error_of(response)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx2.TimeoutException as exc:
        raise DeadlineExceeded("the renderer did not answer in time") from exc
    except httpx2.TransportError as exc:
        raise RendererUnavailable(f"the renderer does not answer: {exc}") from exc


def _error_of(response: httpx2.Response) -> LanthornError:
    """Make our error of a problem document; anything else means that something is wrong with it."""
    try:
        document = response.json()
        slug = str(document["type"]).removeprefix(_PROBLEM_PREFIX)
        detail = str(document.get("detail", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return RendererUnavailable(f"the renderer answered {response.status_code}")
    return _ERRORS.get(slug, RendererUnavailable)(detail)


_ERRORS: Final = {error.slug: error for error in every_error()}

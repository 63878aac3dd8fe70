"""The renderer over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

import httpx2

from lanthorn_core.errors import DeadlineExceeded, LanthornError, RendererUnavailable
from lanthorn_core.ports.renderer import RenderedImage, RenderRequest

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
        self._client = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(timeout_s, connect=5.0),
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_IDLE_S,
            ),
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

    async def check(self) -> None:
        """Return when the renderer answers."""
        await self._get("/readyz", {})

    async def _get(
        self, path: str, query: Mapping[str, str | int | float | bool]
    ) -> httpx2.Response:
        try:
            response = await self._client.get(path, params=query)
        except httpx2.TimeoutException as exc:
            raise DeadlineExceeded("the renderer did not answer in time") from exc
        except httpx2.TransportError as exc:
            raise RendererUnavailable(f"the renderer does not answer: {exc}") from exc
        if response.is_success:
            return response
        raise _error_of(response)


def _error_of(response: httpx2.Response) -> LanthornError:
    """Make our error of a problem document; anything else means that something is wrong with it."""
    try:
        document = response.json()
        slug = str(document["type"]).removeprefix(_PROBLEM_PREFIX)
        detail = str(document.get("detail", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return RendererUnavailable(f"the renderer answered {response.status_code}")
    return _ERRORS.get(slug, RendererUnavailable)(detail)


def _error_classes(base: type[LanthornError]) -> Iterator[type[LanthornError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from _error_classes(subclass)


_ERRORS: Final = {error.slug: error for error in _error_classes(LanthornError)}

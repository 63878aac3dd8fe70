"""The renderer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanthorn_core.ports.renderer import Renderer
from lanthorn_core.runtime.settings import Settings


@asynccontextmanager
async def open_renderer(settings: Settings) -> AsyncIterator[Renderer]:
    """Open the client of the renderer."""
    from lanthorn_core.adapters.renderer_http import HttpRenderer

    async with HttpRenderer(settings.runtime.renderer_url) as renderer:
        yield renderer

"""The renderer's application, and its life."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from fastapi import FastAPI
from starlette.routing import Route

from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.health import HealthApp, serve_asgi, serving_health
from lanthorn_core.runtime.http_observation import ObservedHttp
from lanthorn_core.runtime.lifecycle import Stop
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring import open_object_store
from lanthorn_renderer.frames import FrameReader
from lanthorn_renderer.pool import DecoderPool
from lanthorn_renderer.problems import answer_with_problems
from lanthorn_renderer.routes import frame_routes, transcode_routes
from lanthorn_renderer.transcode import Transcoder

KEEP_ALIVE_S: Final = 60
"""Longer than the client keeps its idle connections, so that it never meets a closed one."""


def create_app(objects: ObjectStore, pool: DecoderPool, health: HealthApp) -> FastAPI:
    """Build the application over an object store and a pool of decoders that are open."""
    app = FastAPI(title="Lanthorn renderer", docs_url=None, redoc_url=None)
    frames = FrameReader(objects)
    app.include_router(frame_routes(frames, pool))
    app.include_router(transcode_routes(Transcoder(objects, frames, pool)))
    health.begin({"objects": objects.check})
    app.router.routes.extend(Route(path, health) for path in ("/livez", "/readyz", "/metrics"))
    answer_with_problems(app)
    app.add_middleware(ObservedHttp)
    return app


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until `stop` is set."""
    settings.runtime.require("listen")
    listen = settings.runtime.listen
    if listen is None:
        return
    health = HealthApp(ending=stop.announced)
    async with AsyncExitStack() as stack:
        async with serving_health(health, listen):
            objects = await when_engines_answer(
                lambda: stack.enter_async_context(open_object_store(settings)), stop, health
            )
        pool = await stack.enter_async_context(DecoderPool())
        async with asyncio.TaskGroup() as group:
            warming = group.create_task(pool.warm_up(), name="warm-up")
            await serve_asgi(
                create_app(objects, pool, health),
                host=listen.host,
                port=listen.port,
                stop=stop,
                ending=stop.announced,
                keep_alive_s=KEEP_ALIVE_S,
                drain_s=settings.runtime.finish_within_s,
            )
            warming.cancel()

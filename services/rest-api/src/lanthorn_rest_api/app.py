"""The application: routes, and what holds for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from lanthorn_core.runtime.health import HealthApp
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api import explorer_files, metrics_orthanc
from lanthorn_rest_api.authentication import AccessRules
from lanthorn_rest_api.http_rules import OrthancHttp
from lanthorn_rest_api.orthanc_errors import install_error_handlers
from lanthorn_rest_api.rest import (
    archive,
    attachments,
    changes,
    children,
    configuration,
    find,
    frames,
    instance_content,
    instance_files,
    instance_tags,
    labels,
    metadata,
    resources,
    shared_tags,
    system,
    tools,
    upload,
)
from lanthorn_rest_api.services import OpenServices, Services, open_services

ROUTES = (
    *instance_files.routes,
    *frames.router.routes,
    *instance_tags.router.routes,
    *find.router.routes,
    *upload.router.routes,
    *resources.router.routes,
    *children.router.routes,
    *metadata.router.routes,
    *labels.router.routes,
    *instance_content.router.routes,
    *archive.router.routes,
    *attachments.router.routes,
    *shared_tags.router.routes,
    *changes.router.routes,
    *tools.router.routes,
    *system.router.routes,
    *configuration.router.routes,
    *metrics_orthanc.router.routes,
    *explorer_files.routes,
)
"""In the order in which they are tried: what is asked most often comes first."""


def create_app(settings: Settings, open_services: OpenServices = open_services) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings : Settings
        Of this process.
    open_services : callable
        Opens the ports for as long as the application runs; the real ones by default.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            yield

    # FastAPI's own documents would lie on paths that belong to Orthanc.
    app = FastAPI(
        lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    # Not `include_router`: one flat list tells the methods of a path (405) and the tree's nodes.
    app.router.routes.extend(ROUTES)
    install_error_handlers(app, describe=settings.http_describe_errors)
    app.add_middleware(
        OrthancHttp,
        access=access_rules(settings),
        health=_Health(app),
        describe_errors=settings.http_describe_errors,
    )
    return app


def access_rules(settings: Settings) -> AccessRules:
    """Read who may ask from the settings."""
    users = None
    if settings.authentication_enabled:
        users = {
            user: password.get_secret_value()
            for user, password in settings.registered_users.items()
        }
    return AccessRules(users, remote_access_allowed=settings.remote_access_allowed)


class _Health:
    """The health routes, which know their ports only once the application has started."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services: Services = self._app.state.services
        health = HealthApp(
            {
                "object_store": services.objects.check,
                "stream": services.publisher.check,
                "index": services.reader.check,
                "renderer": services.renderer.check,
            }
        )
        await health(scope, receive, send)

"""The application: routes, and what holds for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.routing import BaseRoute

from lanthorn_core.runtime.health import HealthApp
from lanthorn_core.runtime.http_observation import ObservedHttp
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api import explorer_files, metrics_orthanc
from lanthorn_rest_api.authentication import AccessRules
from lanthorn_rest_api.compression import CompressedAnswers
from lanthorn_rest_api.http_rules import OrthancHttp
from lanthorn_rest_api.orthanc_errors import install_error_handlers
from lanthorn_rest_api.rest import (
    archive,
    attachments,
    changes,
    children,
    configuration,
    exports,
    find,
    frames,
    imports,
    instance_content,
    instance_files,
    instance_tags,
    jobs,
    labels,
    metadata,
    modalities,
    modality_find,
    modality_retrieve,
    modality_store,
    parked_events,
    queries,
    resources,
    shared_tags,
    storage_commitment,
    system,
    tools,
    upload,
    worklists,
)
from lanthorn_rest_api.services import (
    OpenServices,
    Services,
    refresh_system_figures,
)

ROUTES = (
    *instance_files.routes,
    *frames.router.routes,
    *instance_tags.router.routes,
    *find.router.routes,
    *upload.routes,
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
    *modalities.router.routes,
    *modality_find.router.routes,
    *modality_retrieve.router.routes,
    *modality_store.router.routes,
    *queries.router.routes,
    *exports.router.routes,
    *configuration.router.routes,
    *jobs.router.routes,
    *worklists.router.routes,
    *storage_commitment.router.routes,
    *parked_events.router.routes,
    *imports.router.routes,
    *metrics_orthanc.router.routes,
)
"""In the order in which they are tried: what is asked most often comes first."""


_CHANGING_POSTS = frozenset(
    {
        "/instances",
        "/tools/bulk-delete",
        imports.IMPORTED_PATH,
        parked_events.RETRY_PATH,
        storage_commitment.REMOVE_PATH,
        worklists.CREATE_PATH,
    }
)
"""Routes whose POST changes what is stored; that of others only asks."""


def create_app(
    settings: Settings,
    open_services: OpenServices,
    health: HealthApp,
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings : Settings
        Of this process.
    open_services : callable
        Opens the ports for as long as the application runs.
    health : HealthApp
        Begins when they are open.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            begin_health(health, services)
            yield

    # FastAPI's own documents would lie on paths that belong to Orthanc.
    app = FastAPI(
        lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    # Not `include_router`: one flat list tells the methods of a path (405) and the tree's nodes.
    app.router.routes.extend(
        route for route in ROUTES if not (settings.read_only and _changes_the_store(route))
    )
    if settings.orthanc_explorer_enabled:
        app.router.routes.extend(explorer_files.routes)
    install_error_handlers(app, describe=settings.http_describe_errors)
    app.add_middleware(
        OrthancHttp,
        access=access_rules(settings),
        health=health,
        describe_errors=settings.http_describe_errors,
        keep_alive=settings.keep_alive,
    )
    if settings.http_compression_enabled:
        app.add_middleware(CompressedAnswers)
    app.add_middleware(ObservedHttp)
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


def _changes_the_store(route: BaseRoute) -> bool:
    """Tell whether `ReadOnly` takes a route away; like Orthanc, such a server does not know it."""
    methods = getattr(route, "methods", None) or set()
    return bool(methods & {"PUT", "DELETE"}) or (
        "POST" in methods and getattr(route, "path", "") in _CHANGING_POSTS
    )


def begin_health(health: HealthApp, services: Services) -> None:
    """Have the health ask the ports."""
    checks = {
        "object_store": services.objects.check,
        "stream": services.publisher.check,
        "index": services.reader.check,
        "renderer": services.renderer.check,
    }
    health.begin(checks, [partial(refresh_system_figures, services)])

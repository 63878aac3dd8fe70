"""`GET /instances/{id}/file`: the bytes as received, transcoded, or DICOM JSON (reference 2.6).

This is a plain ASGI route: bulk bytes do not pass through a framework's response machinery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lanthorn_core.errors import NotAcceptable, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import StoredInstance
from lanthorn_rest_api.barrier import wait_at_barrier
from lanthorn_rest_api.dispositions import disposition
from lanthorn_rest_api.hot_objects import SMALL_BYTES, HotObjects
from lanthorn_rest_api.instance_json import DICOM_JSON_TYPE, dicom_json_answer
from lanthorn_rest_api.services import Services, services_of
from lanthorn_rest_api.streaming import until_disconnect
from lanthorn_rest_api.transcoding import transcoding_of

log = structlog.get_logger(__name__)

_DICOM_XML_TYPE: Final = "application/dicom+xml"
"""This and DICOM JSON count when `Accept` is exactly that; all else gets the file."""


class InstanceFile:
    """Sends the file of an instance: small ones from memory, large ones in pieces."""

    def __init__(self) -> None:
        self._hot: HotObjects | None = None
        self._services: Services | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        services = services_of(request)
        accept = request.headers.get("Accept", "")
        if accept == _DICOM_XML_TYPE:
            raise NotAcceptable("Only application/dicom and application/dicom+json are available")
        instance = await stored_instance(request, scope["path_params"]["public_id"])
        if accept == DICOM_JSON_TYPE:
            answer = await dicom_json_answer(services, instance)
            await answer(scope, receive, send)
            return
        filename = f"{instance.public_id}.dcm"
        size_bytes: int | None = instance.size_bytes
        chunks: AsyncIterator[bytes] | None = None
        if scope["query_string"]:
            parameters = request.query_params
            transcoding = transcoding_of(parameters, services.settings)
            transcode = transcoding.request_for(instance) if transcoding else None
            if transcode is not None:
                chunks, size_bytes = services.renderer.transcode(transcode), None
            filename = parameters.get("filename", filename)
        start = {
            "type": "http.response.start",
            "status": HTTPStatus.OK,
            "headers": _headers(size_bytes, filename),
        }
        if chunks is None and instance.size_bytes <= SMALL_BYTES:
            body = await self._hot_objects(services).get(instance.object_key)
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return

        async def send_all() -> None:
            # Not before the first bytes are there: until then, an error can still be told.
            has_started = False
            async for chunk in chunks or services.objects.stream(instance.object_key):
                if not has_started:
                    has_started = True
                    await send(start)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        if not await until_disconnect(send_all(), receive):
            log.info("file_aborted", path=scope["path"])

    def _hot_objects(self, services: Services) -> HotObjects:
        # Routes are older than the services, which an application opens when it starts.
        if self._hot is None or self._services is not services:
            self._hot, self._services = HotObjects(services.objects), services
        return self._hot


async def stored_instance(connection: HTTPConnection, public_id: str) -> StoredInstance:
    """Find an instance, for routes that show what its object holds.

    Objects never change, and without `OverwriteInstances` an instance keeps the object that it
    has until it is deleted, which is answered only after the index was told. So what the index
    shows at once is right, and only who finds nothing waits at the barrier.

    Raises
    ------
    UnknownResource
        There is none of this id.
    """
    services = services_of(connection)
    if not services.settings.overwrite_instances:
        found = await services.reader.instances(Level.INSTANCE, public_id)
        if found:
            return found[0]
    await wait_at_barrier(services.reader, connection.scope)
    found = await services.reader.instances(Level.INSTANCE, public_id)
    if not found:
        raise UnknownResource
    return found[0]


def _headers(size_bytes: int | None, filename: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/dicom")]
    if size_bytes is not None:
        headers.append((b"content-length", str(size_bytes).encode()))
    if filename:
        headers.append((b"content-disposition", disposition(filename).encode("latin-1")))
    return headers


routes = [Route("/instances/{public_id}/file", InstanceFile(), methods=["GET"])]

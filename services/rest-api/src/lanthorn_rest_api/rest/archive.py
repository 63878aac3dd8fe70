"""Archives of patients, studies and series: ZIP files made while they are sent (reference 2.9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lanthorn_core.errors import LanthornError, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.ports.renderer import Renderer
from lanthorn_rest_api.archive_contents import archived_files, archived_series
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.dispositions import disposition
from lanthorn_rest_api.services import Services, ServicesDep
from lanthorn_rest_api.streaming import until_disconnect
from lanthorn_rest_api.threads import in_thread
from lanthorn_rest_api.transcoding import Transcoding, transcoding_of
from lanthorn_rest_api.zip_stream import ZipStream

log = structlog.get_logger(__name__)
router = APIRouter(dependencies=[Depends(current_index)])

WHOLE_FILE_BYTES: Final = 4 << 20
"""Up to this size a file is read and deflated as one; a larger one goes through in pieces."""

_CHUNK_BYTES: Final = 1 << 20
_OF_UNKNOWN_SIZE: Final = 1 << 32
_IN_LOOP_BYTES: Final = 64 << 10
"""What is deflated sooner than a thread would begin."""

Files = AsyncIterator[tuple[str, StoredInstance]]
Emit = Callable[[list[bytes]], Awaitable[None]]


@router.get("/patients/{public_id}/archive")
async def patient_archive(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Send a patient as a ZIP archive."""
    return await _archive(Level.PATIENT, public_id, request, services)


@router.get("/studies/{public_id}/archive")
async def study_archive(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Send a study as a ZIP archive."""
    return await _archive(Level.STUDY, public_id, request, services)


@router.get("/series/{public_id}/archive")
async def series_archive(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Send a series as a ZIP archive."""
    return await _archive(Level.SERIES, public_id, request, services)


async def _archive(level: Level, public_id: str, request: Request, services: Services) -> Response:
    transcoding = transcoding_of(request.query_params, services.settings)
    planned = await archived_series(services.reader, [(level, public_id)])
    filename = request.query_params.get("filename", f"{public_id}.zip")
    files = archived_files(services.reader, planned)
    sources = ArchiveSources(services.objects)
    if transcoding is not None:
        sources = TranscodingSources(services.objects, services.renderer, transcoding)
    return ArchiveAnswer(sources, files, filename)


@dataclass(frozen=True, slots=True)
class ArchiveSources:
    """Where an archive's files come from."""

    objects: ObjectStore

    def transcoded(self, _instance: StoredInstance) -> AsyncIterator[bytes] | None:
        """Return a file in another transfer syntax; None where it comes as it is."""
        return None


@dataclass(frozen=True, slots=True)
class TranscodingSources(ArchiveSources):
    """Files that come in another transfer syntax."""

    renderer: Renderer
    transcoding: Transcoding

    def transcoded(self, instance: StoredInstance) -> AsyncIterator[bytes] | None:
        """Return a file in another transfer syntax; None where it comes as it is."""
        request = self.transcoding.request_for(instance)
        return None if request is None else self.renderer.transcode(request)


class ArchiveAnswer(Response):
    """A ZIP archive as an answer, without a length: nobody knows it before the end."""

    def __init__(self, sources: ArchiveSources, files: Files, filename: str) -> None:
        super().__init__(
            headers={"Content-Disposition": disposition(filename)}, media_type="application/zip"
        )
        del self.headers["Content-Length"]
        self._sources = sources
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the archive, as long as the client is there."""

        async def emit(pieces: list[bytes]) -> None:
            body = b"".join(pieces)
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})

        async def send_all() -> None:
            await send(
                {
                    "type": "http.response.start",
                    "status": HTTPStatus.OK,
                    "headers": self.raw_headers,
                }
            )
            await write_archive(self._sources, self._files, emit)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        if not await until_disconnect(send_all(), receive):
            log.info("archive_aborted", path=scope["path"])


async def write_archive(sources: ArchiveSources, files: Files, emit: Emit) -> None:
    """Write an archive.

    Parameters
    ----------
    sources : ArchiveSources
        Where the files are. One that was deleted meanwhile is left out, one that cannot be
        transcoded comes as it is.
    files : async iterator of (str, StoredInstance)
        Names and instances.
    emit : callable
        Takes the archive's bytes, piece by piece; is awaited before more are made.

    Raises
    ------
    StorageUnavailable, IndexUnavailable
        The archive is not complete.
    """
    zip_stream = ZipStream(time.time())
    # The next file is read while this one is deflated and sent.
    ahead: asyncio.Queue[_Piece | None] = asyncio.Queue(maxsize=1)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_read_ahead(sources, files, ahead), name="read-ahead")
            while (piece := await ahead.get()) is not None:
                await emit(await _zipped(zip_stream, *piece))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    await emit(list(zip_stream.finish()))


_Piece = tuple[str, str, bytes, int]
"""Kind, name, bytes, size: ``whole``, ``begin``, ``piece`` and ``end`` of a file."""


async def _zipped(
    zip_stream: ZipStream, kind: str, name: str, data: bytes, size_bytes: int
) -> list[bytes]:
    if kind == "whole":
        if len(data) <= _IN_LOOP_BYTES:
            return zip_stream.whole_file(name, data)
        return await in_thread(zip_stream.whole_file, name, data)
    if kind == "begin":
        return zip_stream.begin(name, size_bytes)
    if kind == "piece":
        return await in_thread(zip_stream.write, data)
    return zip_stream.end()


async def _read_ahead(
    sources: ArchiveSources, files: Files, ahead: asyncio.Queue[_Piece | None]
) -> None:
    objects = sources.objects
    async for name, instance in files:
        transcoded = sources.transcoded(instance)
        if transcoded is not None and await _read_transcoded(transcoded, name, ahead):
            continue
        key, size_bytes = instance.object_key, instance.size_bytes
        has_begun = False
        try:
            if size_bytes <= WHOLE_FILE_BYTES:
                await ahead.put(("whole", name, await objects.get(key), size_bytes))
                continue
            async for chunk in objects.stream(key, chunk_bytes=_CHUNK_BYTES):
                if not has_begun:
                    has_begun = True
                    await ahead.put(("begin", name, b"", size_bytes))
                await ahead.put(("piece", name, chunk, size_bytes))
        except UnknownResource:
            if has_begun:
                raise
            log.warning("archive_file_left_out", object_key=key)
            continue
        await ahead.put(("end", name, b"", size_bytes))
    await ahead.put(None)


async def _read_transcoded(
    chunks: AsyncIterator[bytes], name: str, ahead: asyncio.Queue[_Piece | None]
) -> bool:
    """Read a file in another transfer syntax; False, with nothing read, if that cannot be."""
    held: list[bytes] = []
    held_bytes = 0
    has_begun = False
    try:
        async for chunk in chunks:
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes > WHOLE_FILE_BYTES:
                if not has_begun:
                    has_begun = True
                    await ahead.put(("begin", name, b"", _OF_UNKNOWN_SIZE))
                await ahead.put(("piece", name, b"".join(held), held_bytes))
                held, held_bytes = [], 0
    except LanthornError as error:
        if has_begun or error.retryable:
            raise
        log.warning("archive_file_not_transcoded", error=error.slug)
        return False
    if not has_begun:
        await ahead.put(("whole", name, b"".join(held), held_bytes))
        return True
    await ahead.put(("piece", name, b"".join(held), held_bytes))
    await ahead.put(("end", name, b"", 0))
    return True

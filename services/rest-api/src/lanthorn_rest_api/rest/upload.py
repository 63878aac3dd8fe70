"""`POST /instances`: DICOM files, alone, gzipped, in a ZIP archive or from a browser's form.

References
----------
Reference 2.5; what is not said there was observed on Orthanc 1.13.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lanthorn_core.errors import IndexUnavailable, InvalidDataset, MissingIdentifier
from lanthorn_core.model import Origin
from lanthorn_core.usecases.store_instance import ReceivedInstance, StoreReceipt
from lanthorn_rest_api.answers import empty_answer, json_answer
from lanthorn_rest_api.authentication import username_of
from lanthorn_rest_api.barrier import WARNINGS, warn_of_lag
from lanthorn_rest_api.inflation import Gunzip, InflationLimits
from lanthorn_rest_api.metrics import UPLOADS
from lanthorn_rest_api.services import Services, services_of
from lanthorn_rest_api.threads import in_thread
from lanthorn_rest_api.upload_bodies import (
    ArchivedFiles,
    as_dicom_file,
    multipart_boundary,
    opened_archive,
    parts_of,
    receive,
)
from lanthorn_rest_api.upload_spool import IN_MEMORY_BYTES, SpooledUpload
from lanthorn_rest_api.zip_reading import ZipReading, is_zip

log = structlog.get_logger(__name__)

STORES_AT_ONCE: Final = 8
"""Files of one archive on their way to the store: each waits for the disk, none for another."""

_NOT_INDEXED: Final = '199 lanthorn "stored, but not yet in the index"'


async def upload(request: Request) -> Response:
    """Store what the body holds, and answer once it can be found."""
    uploads = _Uploads(request, services_of(request))
    try:
        boundary = multipart_boundary(request.headers.get("Content-Type", ""))
        if boundary:
            await uploads.store_form(boundary)
            return empty_answer()
        return json_answer(await uploads.store_body())
    except ClientDisconnect:
        log.info("upload_aborted")
        return Response(status_code=HTTPStatus.BAD_REQUEST)


class _Uploads:
    """The stores of one request."""

    def __init__(self, request: Request, services: Services) -> None:
        self._request = request
        self._services = services
        self._spool_folder = services.objects.spool_folder
        self._limits = InflationLimits()
        self._origin = Origin(
            kind="RestApi",
            remote_ip=request.client.host if request.client else "",
            http_username=username_of(request),
        )

    async def store_body(self) -> dict[str, str] | list[dict[str, str]]:
        is_gzip = self._request.headers.get("Content-Encoding", "").strip().lower() == "gzip"
        gunzip = Gunzip(self._limits) if is_gzip else None
        with SpooledUpload(self._spool_folder) as body:
            # Given back before the store takes its own share: who held one while waiting for the
            # other could wait forever.
            async with self._services.budget.reserve(self._expected_in_memory_bytes()):
                await receive(self._request.stream(), body, gunzip)
            if is_zip(body.beginning):
                return await self._answers(await self._store_archive(body))
            await self._services.reader.expect_event()
            [answer] = await self._answers([await self._store_file(body)])
        return answer

    async def store_form(self, boundary: str) -> None:
        """Store one part after the other, up to the first that cannot be stored."""
        receipts: list[StoreReceipt] = []
        parts = parts_of(self._request.stream(), boundary, self._spool_folder)
        async for part in parts:
            if is_zip(part.beginning):
                receipts += await self._store_archive(part)
            else:
                receipts.append(await self._store_file(part))
        await self._answers(receipts)

    def _expected_in_memory_bytes(self) -> int:
        length = self._request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return IN_MEMORY_BYTES
        return min(int(length), IN_MEMORY_BYTES)

    async def _store_file(self, upload: SpooledUpload) -> StoreReceipt:
        """Store one file; what is wrong with it is told in Orthanc's words."""
        size_bytes = upload.size_bytes
        if size_bytes == 0:
            raise InvalidDataset("Received an empty DICOM file")
        try:
            if upload.on_disk:
                source = await in_thread(as_dicom_file, upload)
            else:
                source = as_dicom_file(upload)
            return await self._services.store(ReceivedInstance(source), self._origin)
        except MissingIdentifier:
            raise
        except InvalidDataset as error:
            log.warning("upload_refused", reason=str(error), size_bytes=size_bytes)
            raise InvalidDataset(
                f"Cannot parse an invalid DICOM file (size: {size_bytes} bytes)"
            ) from error

    async def _store_archive(self, upload: SpooledUpload) -> list[StoreReceipt]:
        """Store the DICOM files of an archive.

        A broken one does not stop the others. One that the archive does not give out does not
        either, but the answer is an error then, as in Orthanc.
        """
        with opened_archive(upload) as archive:
            reading = await in_thread(ZipReading, archive, self._limits)
            files = ArchivedFiles(reading, self._spool_folder)
            stores: list[asyncio.Task[StoreReceipt | None]] = []
            places = asyncio.Semaphore(STORES_AT_ONCE)
            try:
                async with asyncio.TaskGroup() as group:
                    while True:
                        await places.acquire()
                        file = await in_thread(files.next_file)
                        if file is None:
                            break
                        stores.append(
                            group.create_task(
                                self._store_archived(file, places), name="store-archived"
                            )
                        )
            except ExceptionGroup as failures:
                # What one met the others met, too: the store is full, or away.
                raise failures.exceptions[0] from failures
            files.require_all_readable()
        return [receipt for store in stores if (receipt := store.result()) is not None]

    async def _store_archived(
        self, file: SpooledUpload, places: asyncio.Semaphore
    ) -> StoreReceipt | None:
        with file:
            try:
                return await self._store_file(file)
            except InvalidDataset as error:
                log.warning("zip_entry_passed_over", reason=error.slug)
                return None
            finally:
                places.release()

    async def _answers(self, receipts: Sequence[StoreReceipt]) -> list[dict[str, str]]:
        """Wait until the instances can be found, and say what became of each."""
        current = await self._current_objects(receipts)
        answers = []
        for receipt in receipts:
            ids = receipt.public_ids
            is_current = current.get(ids.instance, receipt.object_key) == receipt.object_key
            status = "Success" if is_current else "AlreadyStored"
            UPLOADS.labels(status).inc()
            answers.append(
                {
                    "ID": ids.instance,
                    "ParentPatient": ids.patient,
                    "ParentSeries": ids.series,
                    "ParentStudy": ids.study,
                    "Path": f"/instances/{ids.instance}",
                    "Status": status,
                }
            )
        return answers

    async def _current_objects(self, receipts: Sequence[StoreReceipt]) -> Mapping[str, str]:
        """Object keys of the instances that are in the index now, by public id.

        Empty when the newest always wins; also when the index does not answer: what is stored
        stays stored, and the answer carries a warning.
        """
        if not receipts:
            return {}
        scope, stored = self._request.scope, dict[str, str]()
        in_order = sorted(receipts, key=lambda receipt: receipt.position)
        if not self._services.settings.overwrite_instances:
            stored = {each.public_ids.instance: each.object_key for each in in_order}
        reader = self._services.reader
        found: Mapping[str, str] = {}
        try:
            found, is_current = await reader.objects_at(in_order[-1].position, stored)
        except IndexUnavailable:
            is_current = False
        if not is_current:
            warn_of_lag(scope)
        elif len(found) < len(stored):
            scope.setdefault(WARNINGS, []).append(_NOT_INDEXED)
        return found


# A plain route: FastAPI's own cost as much as receiving a small file.
routes = [Route("/instances", upload, methods=["POST"])]

"""A file that is sent to a remote AE and not kept: it waits in the object store for its one use.

So it may be as large as any upload, and the gateway sends it as it sends any other object.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from starlette.requests import Request

from lanthorn_core.commands import StoreStraight
from lanthorn_core.dicom.elements import Buffer
from lanthorn_core.dicom.part10 import scan_file
from lanthorn_core.errors import InvalidDataset, StorageUnavailable
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.receipts import new_receipt_id, received_at
from lanthorn_rest_api.services import Services
from lanthorn_rest_api.threads import in_thread
from lanthorn_rest_api.upload_bodies import as_dicom_file, receive
from lanthorn_rest_api.upload_spool import IN_MEMORY_BYTES, SpooledUpload

log = structlog.get_logger(__name__)

PREFIX: Final = "transfers/v1/"
"""No object below it is an instance's; the sweep does not look here."""

_FORGOTTEN_AFTER_S: Final = 24 * 3600.0
_SOP_CLASS_UID: Final = 0x0008_0016
_SOP_INSTANCE_UID: Final = 0x0008_0018


async def send_straight(services: Services, request: Request, remote: RemoteAE) -> StoreStraight:
    """Send the file in a request's body; returns the command that did it.

    Raises
    ------
    InvalidDataset
        The body is no DICOM file.
    RemoteAEFailed, GatewayUnavailable
        It could not be sent.
    StorageFull, StorageUnavailable
        There is no room for it on its way.
    """
    objects = services.objects
    with SpooledUpload(objects.spool_folder) as upload:
        async with services.budget.reserve(IN_MEMORY_BYTES):
            await receive(request.stream(), upload)
            size_bytes = upload.size_bytes
            try:
                source = await in_thread(as_dicom_file, upload)
                key = f"{PREFIX}{new_receipt_id()}.dcm"
                command = await in_thread(_command, source, key, remote)
            except InvalidDataset as error:
                raise InvalidDataset(
                    f"Cannot parse an invalid DICOM file (size: {size_bytes} bytes)"
                ) from error
            await objects.put(key, source)
    try:
        await services.commands.store_straight(command)
    finally:
        await _remove(objects, key)
    return command


def _command(source: Sequence[bytes] | Path, key: str, remote: RemoteAE) -> StoreStraight:
    if isinstance(source, Path):
        try:
            with (
                source.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            ):
                return _command_of(mapped, len(mapped), key, remote)
        except BaseException:
            source.unlink(missing_ok=True)  # the store has not taken it
            raise
    data = source[0]
    return _command_of(data, len(data), key, remote)


def _command_of(data: Buffer, size_bytes: int, key: str, remote: RemoteAE) -> StoreStraight:
    meta, header = scan_file(data)

    def uid(tag: int) -> str:
        value = header.value(tag)
        text = "" if value is None else value.decode("ascii", "replace").strip(" \0")
        if not text:
            raise InvalidDataset("the data set names no SOP class or instance")
        return text

    return StoreStraight(
        remote=remote,
        object_key=key,
        size_bytes=size_bytes,
        dataset_offset=meta.dataset_offset,
        sop_class_uid=uid(_SOP_CLASS_UID),
        sop_instance_uid=uid(_SOP_INSTANCE_UID),
        transfer_syntax_uid=header.transfer_syntax_uid,
    )


async def _remove(objects: ObjectStore, key: str) -> None:
    """Remove an object that was sent, and those whose process died before it could."""
    with suppress(StorageUnavailable):
        await objects.delete(key)
        async for left in objects.list(PREFIX):
            receipt_id = left.key.removeprefix(PREFIX).removesuffix(".dcm")
            if received_at(receipt_id) > time.time() - _FORGOTTEN_AFTER_S:
                break
            log.info("forgotten_transfer_removed", size_bytes=left.size_bytes)
            await objects.delete(left.key)

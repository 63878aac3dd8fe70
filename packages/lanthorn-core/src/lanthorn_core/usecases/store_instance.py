"""Store one instance: the verb behind C-STORE, STOW-RS and `POST /instances`.

Success means durable and findable (architecture, section 1): the object is in the store, the event
that describes it is in the stream, and from then on the index barrier makes every query wait for
it.
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lanthorn_core.dicom.encodings import is_deflated
from lanthorn_core.dicom.identifiers import Identity, PublicIds, public_ids
from lanthorn_core.dicom.part10 import read_file_meta, scan_file
from lanthorn_core.dicom.scan import Header, scan_dataset
from lanthorn_core.dicom.summary import identify, pixel_data_vr_metadata
from lanthorn_core.errors import InvalidDataset, SopClassMismatch
from lanthorn_core.events import HEADER_LIMIT_BYTES, InstanceStored
from lanthorn_core.model import Origin
from lanthorn_core.ports.bus import EventPublisher, StreamPosition
from lanthorn_core.ports.object_store import Buffer, ObjectStore
from lanthorn_core.telemetry.metrics import STORED_BYTES, STORED_INSTANCES
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_core.usecases.receipts import new_receipt_id, object_key, received_at
from lanthorn_core.usecases.storage_limits import StorageLimits

SCAN_IN_THREAD_BYTES: Final = 1 << 20
"""A larger object is scanned in a thread; so is every deflated one, however small it is."""

_STORED_BY: Final = {
    kind: (STORED_INSTANCES.labels(protocol), STORED_BYTES.labels(protocol))
    for kind, protocol in (("DicomProtocol", "dimse"), ("RestApi", "http"), ("Unknown", "other"))
}


@dataclass(frozen=True, slots=True)
class KnownMeta:
    """What the File Meta Information of a file says that we put before a data set ourselves.

    `dataset_offset` is where the data set begins, in bytes from the start of the file.
    """

    transfer_syntax_uid: str
    dataset_offset: int


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """A whole Part 10 file, as buffers or as a file in the store's spool folder.

    The two UIDs are those of the C-STORE command, where there was one. `known` is what who
    received it knows already, `sha256` the digest of a file that was taken while it was written.
    """

    source: Sequence[Buffer] | Path
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    known: KnownMeta | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """What became of a stored instance; `position` is its event's place in the stream."""

    object_key: str
    size_bytes: int
    identity: Identity
    position: StreamPosition

    @property
    def public_ids(self) -> PublicIds:
        """Public identifiers of the instance and its parents; a C-STORE has no use for them."""
        return public_ids(self.identity)


@dataclass(frozen=True, slots=True)
class _Scanned:
    header: Header
    identity: Identity
    size_bytes: int
    sha256: str = ""


class StoreInstance:
    """Make instances durable and announce them.

    Parameters
    ----------
    objects : ObjectStore
        Where the bytes go.
    publisher : EventPublisher
        Where the event goes.
    budget : ByteBudget or None
        The process's share of memory for objects in hand; a slow store slows senders here. None
        where buffers are counted by who receives into them.
    default_encoding : str
        Orthanc's `DefaultEncoding`, for data sets that name no character set.
    limits : StorageLimits, optional
        Where new instances are refused once the store is full.
    """

    def __init__(
        self,
        objects: ObjectStore,
        publisher: EventPublisher,
        budget: ByteBudget | None,
        default_encoding: str = "Latin1",
        limits: StorageLimits | None = None,
    ) -> None:
        self._objects = objects
        self._publisher = publisher
        self._budget = budget
        self._default_encoding = default_encoding
        self._limits = limits

    async def __call__(self, instance: ReceivedInstance, origin: Origin) -> StoreReceipt:
        """Store one instance.

        Raises
        ------
        InvalidDataset, MissingIdentifier, SopClassMismatch
            The file cannot be kept; nothing of it stays.
        StorageFull, StorageUnavailable
            The object could not be made durable, or passes a limit; nothing of it stays.
        IndexUnavailable
            It may pass a limit, and the index does not tell; nothing of it stays.
        BusUnavailable
            The object is durable, its event is not. The object stays: the event may have reached
            the stream unseen, and if it did not, the sweep announces the object later.
        """
        source = instance.source
        if isinstance(source, Path):
            try:
                scanned = await asyncio.to_thread(self._scan_file, source, instance.sha256)
                return await self._keep(instance, scanned, origin)
            except BaseException:
                source.unlink(missing_ok=True)  # unless the store has taken it
                raise
        size_bytes = sum(len(part) for part in source)
        async with nullcontext() if self._budget is None else self._budget.reserve(size_bytes):
            data = source[0] if len(source) == 1 else b"".join(source)
            known = instance.known or _known_of(data)
            if size_bytes > SCAN_IN_THREAD_BYTES or is_deflated(known.transfer_syntax_uid):
                scanned = await asyncio.to_thread(self._scan, data, known)
            else:
                scanned = self._scan(data, known)
            return await self._keep(instance, scanned, origin)

    def _scan_file(self, path: Path, sha256: str | None) -> _Scanned:
        with path.open("rb") as file:
            try:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise InvalidDataset("Received an empty DICOM file") from error
            with mapped:
                _, header = scan_file(mapped)
                size_bytes = len(mapped)
            # Read, not mapped: hashing through the map would make the whole file resident.
            digest = sha256 or hashlib.file_digest(file, "sha256").hexdigest()
        return _Scanned(header, identify(header, self._default_encoding), size_bytes, digest)

    def _scan(self, data: Buffer, known: KnownMeta) -> _Scanned:
        with memoryview(data) as view, view[known.dataset_offset :] as dataset:
            header = scan_dataset(
                dataset, known.transfer_syntax_uid, base_offset=known.dataset_offset
            )
        return _Scanned(header, identify(header, self._default_encoding), len(data))

    async def _keep(
        self, instance: ReceivedInstance, scanned: _Scanned, origin: Origin
    ) -> StoreReceipt:
        _must_agree(instance, scanned)
        if self._limits is None:
            return await self._put_and_announce(instance, scanned, origin)
        async with self._limits.room_for(public_ids(scanned.identity), scanned.size_bytes):
            return await self._put_and_announce(instance, scanned, origin)

    async def _put_and_announce(
        self, instance: ReceivedInstance, scanned: _Scanned, origin: Origin
    ) -> StoreReceipt:
        receipt_id = new_receipt_id()
        key = object_key(receipt_id)
        sha256 = scanned.sha256
        if sha256:
            await self._objects.put(key, instance.source)
        else:
            digest = hashlib.sha256()
            await self._objects.put(key, instance.source, digest=digest)
            sha256 = digest.hexdigest()
        header = scanned.header
        event = InstanceStored(
            object_key=key,
            size_bytes=scanned.size_bytes,
            sha256=sha256,
            transfer_syntax_uid=header.transfer_syntax_uid,
            received_at=received_at(receipt_id),
            origin=origin,
            header=header.encoded if len(header.encoded) <= HEADER_LIMIT_BYTES else None,
            pixel_data_offset=header.pixel_data_offset,
            pixel_data_vr=pixel_data_vr_metadata(header),
        )
        position = await self._publisher.publish(event, message_id=key)
        instances, size_bytes = _STORED_BY[origin.kind]
        instances.inc()
        size_bytes.inc(scanned.size_bytes)
        return StoreReceipt(key, scanned.size_bytes, scanned.identity, position)


def _known_of(data: Buffer) -> KnownMeta:
    meta = read_file_meta(data)
    return KnownMeta(meta.transfer_syntax_uid, meta.dataset_offset)


def _must_agree(instance: ReceivedInstance, scanned: _Scanned) -> None:
    if instance.sop_instance_uid is not None and (
        instance.sop_instance_uid != scanned.identity.sop_instance_uid
        or instance.sop_class_uid != _sop_class_uid(scanned.header)
    ):
        raise SopClassMismatch(
            "SOP Class and Instance UID of the data set are not those of the command"
        )


def _sop_class_uid(header: Header) -> str:
    value = header.value(0x0008_0016)  # SOP Class UID
    return "" if value is None else value.decode("ascii", "replace").strip(" \0")

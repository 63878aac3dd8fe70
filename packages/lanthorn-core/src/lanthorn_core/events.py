"""What happened and what shall happen: the messages of the `DICOM` stream.

Subjects are ``dicom.v1.<noun>.<past participle>`` for facts and the imperative for commands. The
payload is MessagePack (ADR 0004): the header of an instance is bytes and stays bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lanthorn_core.model import Level, Origin

STREAM: Final = "DICOM"
SUBJECTS: Final = "dicom.v1.>"
HEADER_LIMIT_BYTES: Final = 256 * 1024
"""A larger header stays out of the event; the indexer reads it from the object."""


class InstanceStored(msgspec.Struct, frozen=True, kw_only=True, tag="instance.stored"):
    """An object is durable in the object store and waits to be indexed.

    `header` is the data set before Pixel Data in the object's transfer syntax (inflated where that
    is a deflated one), or None when it was too large or the event was made by a sweep.
    `pixel_data_offset` counts bytes from the start of the object.
    """

    object_key: str
    size_bytes: int
    sha256: str
    transfer_syntax_uid: str
    received_at: float
    origin: Origin
    header: bytes | None = None
    pixel_data_offset: int | None = None
    pixel_data_vr: str | None = None
    reindex: bool = False


class DeleteResources(msgspec.Struct, frozen=True, kw_only=True, tag="resource.delete"):
    """Command: remove these resources with all below them from the index."""

    resources: list[tuple[Level, str]]


Event = InstanceStored | DeleteResources

_SUBJECT: Final = {
    InstanceStored: "dicom.v1.instance.stored",
    DeleteResources: "dicom.v1.resource.delete",
}
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def subject_of(event: Event) -> str:
    """Return the subject on which this kind of event travels."""
    return _SUBJECT[type(event)]


def encode_event(event: Event) -> bytes:
    """Encode an event as MessagePack."""
    return _encoder.encode(event)


def decode_event(payload: bytes) -> Event:
    """Decode an event; raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(payload)

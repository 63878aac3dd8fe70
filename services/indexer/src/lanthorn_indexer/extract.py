"""From an event to what the index keeps: main tags, metadata and identifiers of four levels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from lanthorn_core.dicom.identifiers import public_ids
from lanthorn_core.dicom.maintags import signature
from lanthorn_core.dicom.part10 import FileMeta, read_file_meta, scan_file
from lanthorn_core.dicom.scan import Header, parse_header
from lanthorn_core.dicom.summary import InstanceSummary, pixel_data_vr_metadata
from lanthorn_core.events import InstanceStored
from lanthorn_core.model import LEVELS, Level, Origin
from lanthorn_core.ports.index_writer import InstanceEntry
from lanthorn_core.ports.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class ExtractionRules:
    """What configuration has to say: Orthanc's `DefaultEncoding` and `ExtraMainDicomTags`."""

    default_encoding: str = "Latin1"
    extra_main_tags: Mapping[str, Sequence[int]] = field(default_factory=dict)


class PerLevel(Mapping[Level, dict[str, str]]):
    """Texts by level, each read when it is asked for: mostly the instance's own are enough."""

    def __init__(self, read: Callable[[Level], dict[str, str]]) -> None:
        self._read = read

    def __getitem__(self, level: Level) -> dict[str, str]:
        return self._read(level)

    def __iter__(self) -> Iterator[Level]:
        return iter(LEVELS)

    def __len__(self) -> int:
        return len(LEVELS)


async def extract(
    event: InstanceStored, objects: ObjectStore, rules: ExtractionRules
) -> InstanceEntry:
    """Read the header of a stored instance, from the event or from its object.

    Raises
    ------
    InvalidDataset
        The object is not what an index can hold; it should never have been acknowledged.
    UnknownResource
        The object is gone.
    StorageUnavailable
        The object store does not answer.
    """
    if event.header is not None:
        header = parse_header(event.header, event.transfer_syntax_uid)
    else:
        event, header = await _read_object(event, objects)
    summary = InstanceSummary(header, rules.extra_main_tags, rules.default_encoding)
    ids = public_ids(summary.identity)
    return InstanceEntry(
        event=event,
        public_ids=ids,
        main_tags=PerLevel(lambda level: summary.level(level).main_tags),
        metadata=PerLevel(lambda level: _metadata(level, event, summary, rules)),
        sop_class_uid=summary.sop_class_uid,
        index_in_series=summary.index_in_series,
        expected_number_of_instances=summary.expected_number_of_instances,
        number_of_frames=summary.number_of_frames,
    )


async def _read_object(
    event: InstanceStored, objects: ObjectStore
) -> tuple[InstanceStored, Header]:
    """Complete an event whose header was too large, or that a sweep made of a bare object."""
    if event.sha256 and event.pixel_data_offset is not None:
        data = await objects.get(event.object_key, length=event.pixel_data_offset)
        meta = read_file_meta(data)
        return event, parse_header(data[meta.dataset_offset :], meta.transfer_syntax_uid)
    data = await objects.get(event.object_key)
    meta, header = scan_file(data)
    completed = msgspec.structs.replace(
        event,
        size_bytes=len(data),
        sha256=event.sha256 or hashlib.sha256(data).hexdigest(),
        transfer_syntax_uid=meta.transfer_syntax_uid,
        pixel_data_offset=header.pixel_data_offset,
        pixel_data_vr=pixel_data_vr_metadata(header),
        origin=event.origin if event.origin.kind != "Unknown" else _origin_of(meta),
    )
    return completed, header


def _origin_of(meta: FileMeta) -> Origin:
    """Recover from the file meta what the gateway wrote there when it received the instance."""
    if not meta.receiving_ae_title:
        return Origin()
    return Origin(
        kind="DicomProtocol",
        calling_ae_title=meta.source_ae_title,
        called_ae_title=meta.receiving_ae_title,
    )


def _metadata(
    level: Level, event: InstanceStored, summary: InstanceSummary, rules: ExtractionRules
) -> dict[str, str]:
    """Make Orthanc's system metadata (reference, section 1.10) for a level."""
    metadata: dict[str, str] = {}
    if level is Level.INSTANCE:
        metadata = _metadata_of_instance(event, summary)
    elif level is Level.SERIES:
        metadata["RemoteAET"] = event.origin.calling_ae_title
        if summary.expected_number_of_instances is not None:
            metadata["ExpectedNumberOfInstances"] = str(summary.expected_number_of_instances)
    metadata["MainDicomTagsSignature"] = signature(level, rules.extra_main_tags.get(level, ()))
    if found := summary.level(level).sequences:
        sequences = {"Sequences": found, "Version": 1}
        metadata["MainDicomSequences"] = json.dumps(sequences, separators=(",", ":"))
    return metadata


def _metadata_of_instance(event: InstanceStored, summary: InstanceSummary) -> dict[str, str]:
    origin = event.origin
    received = datetime.fromtimestamp(event.received_at, UTC).strftime("%Y%m%dT%H%M%S")
    metadata = {
        "Origin": origin.kind,
        "ReceptionDate": received,
        "RemoteAET": origin.calling_ae_title,
        "SopClassUid": summary.sop_class_uid,
        "TransferSyntax": event.transfer_syntax_uid,
    }
    if origin.remote_ip:
        metadata["RemoteIP"] = origin.remote_ip
    if origin.kind == "DicomProtocol":
        metadata["CalledAET"] = origin.called_ae_title
    if origin.kind == "RestApi":
        metadata["HttpUsername"] = origin.http_username
    if summary.index_text is not None:
        metadata["IndexInSeries"] = summary.index_text
    if event.pixel_data_offset is not None:
        metadata["PixelDataOffset"] = str(event.pixel_data_offset)
    if event.pixel_data_vr is not None:
        metadata["PixelDataVR"] = event.pixel_data_vr
    return metadata

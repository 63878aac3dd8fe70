"""The nouns that the services exchange: plain, frozen, without behavior of any protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec


class Level(StrEnum):
    """The four levels of the Patient Root information model (PS3.4 Section C.6.1)."""

    PATIENT = "Patient"
    STUDY = "Study"
    SERIES = "Series"
    INSTANCE = "Instance"

    @property
    def depth(self) -> int:
        """0 for Patient down to 3 for Instance."""
        return _DEPTH[self]


LEVELS = tuple(Level)
_DEPTH = {level: depth for depth, level in enumerate(LEVELS)}

OriginKind = Literal["Unknown", "DicomProtocol", "RestApi"]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an instance came from; Orthanc's metadata `Origin`, `RemoteAET`, …."""

    kind: OriginKind = "Unknown"
    calling_ae_title: str = ""
    called_ae_title: str = ""
    remote_ip: str = ""
    http_username: str = ""


Manufacturer = Literal[
    "Generic",
    "GenericNoWildcardInDates",
    "GenericNoUniversalWildcard",
    "Vitrea",
    "GE",
    "SiemensSyngoCT",
]
RetrieveMethod = Literal["SystemDefault", "C-MOVE", "C-GET"]


class RemoteAE(msgspec.Struct, frozen=True, kw_only=True):
    """A remote application entity: where it is, and what it may do (Orthanc's `DicomModalities`).

    `local_ae_title` empty means our own AE title, `timeout_s` 0 the configured time limit. The
    `allow_…` fields say which of its requests we serve; `allow_transcoding` whether what we send
    may be transcoded for it.
    """

    ae_title: str
    host: str
    port: int
    manufacturer: Manufacturer = "Generic"
    allow_echo: bool = True
    allow_find: bool = True
    allow_find_worklist: bool = True
    allow_get: bool = True
    allow_move: bool = True
    allow_store: bool = True
    allow_n_action: bool = True
    allow_event_report: bool = True
    allow_transcoding: bool = True
    use_dicom_tls: bool = False
    local_ae_title: str = ""
    timeout_s: int = 0
    retrieve_method: RetrieveMethod = "SystemDefault"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of the object store."""

    key: str
    size_bytes: int

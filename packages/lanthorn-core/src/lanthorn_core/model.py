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


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of the object store."""

    key: str
    size_bytes: int

"""What an import reads from: an Orthanc, whichever way it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from lanthorn_core.model import Level
from lanthorn_embedded.errors import EmbeddedError
from lanthorn_embedded.importing.content import Content

DICOM_FILE: Final = 1
FIRST_USER_NUMBER: Final = 1024
"""Below are the metadata and attachments that Orthanc makes itself."""

DICOMWEB_CACHE: Final = 4301
"""Attachments of Orthanc's DICOMweb plugin; it makes them anew whenever it needs them."""

METADATA_NUMBERS: Final[Mapping[int, str]] = {
    2: "ReceptionDate",
    3: "RemoteAET",
    5: "ModifiedFrom",
    6: "AnonymizedFrom",
    7: "LastUpdate",
    8: "Origin",
    11: "RemoteIP",
    12: "CalledAET",
    13: "HttpUsername",
}
"""System metadata that no file tells; all others are read from the files again."""


class SourceUnavailable(EmbeddedError):
    """The source does not answer, or cannot be opened: the import ends."""

    slug = "import-source-unavailable"


class UnreadableFile(EmbeddedError):
    """One file of the source is missing or damaged: the others go on."""

    slug = "import-file-unreadable"


@dataclass(frozen=True, slots=True)
class SourceAttachment:
    """A file that belongs to a resource; `md5` and `uuid` are empty where they are not known.

    `number` is Orthanc's type of attachment, or its name where the number is not known.
    `compression` is Orthanc's number, `size_bytes` that of the content, uncompressed.
    """

    number: int | str
    size_bytes: int = 0
    md5: str = ""
    uuid: str = ""
    compression: int = 1


@dataclass(frozen=True, slots=True)
class SourceResource:
    """A patient, study, series or instance of the source.

    `history` are metadata of `METADATA_NUMBERS`, `metadata` those of users by number, or by name
    where the number is not known; their values are whatever bytes the source keeps.
    """

    level: Level
    public_id: str
    history: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[int | str, bytes] = field(default_factory=dict)
    labels: Sequence[str] = ()
    attachments: Sequence[SourceAttachment] = ()
    is_protected: bool = False

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"{self.level} {self.public_id}"

    @property
    def last_update(self) -> str:
        """When something came into a patient, study or series; empty for an instance."""
        return self.history.get("LastUpdate", "")

    @property
    def file(self) -> SourceAttachment | None:
        """The DICOM file of an instance."""
        return next((a for a in self.attachments if a.number == DICOM_FILE), None)

    @property
    def user_attachments(self) -> list[SourceAttachment]:
        """What users attached."""
        return [
            attachment
            for attachment in self.attachments
            if isinstance(attachment.number, str)
            or (attachment.number >= FIRST_USER_NUMBER and attachment.number != DICOMWEB_CACHE)
        ]


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is, by level, and how many bytes of files."""

    counts: Mapping[Level, int]
    size_bytes: int


class Source(Protocol):
    """An Orthanc, read only. Raises `SourceUnavailable` throughout."""

    @property
    def name(self) -> str:
        """What it is called in reports and the journal; no password is in it."""
        ...

    async def totals(self) -> Totals:
        """Count what is there now."""
        ...

    def pages(self, level: Level) -> AsyncIterator[Sequence[SourceResource]]:
        """Give all resources of a level, some hundred at a time, each once."""
        ...

    async def read(self, resource: SourceResource, attachment: SourceAttachment) -> Content:
        """Read a file as it was before Orthanc compressed it.

        Raises
        ------
        UnreadableFile
            It is missing or damaged.
        """
        ...

    async def modalities(self) -> Mapping[str, Any]:
        """Give the remote AEs that are set in the source's database, as Orthanc describes them."""
        ...

    async def peer_names(self) -> Sequence[str]:
        """Name the peers that are set in the source's database."""
        ...

"""Orthanc's index, whichever database holds it, together with its storage area: a `Source`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from lanthorn_core.model import LEVELS, Level
from lanthorn_embedded.importing.content import Content
from lanthorn_embedded.importing.source import (
    FIRST_USER_NUMBER,
    METADATA_NUMBERS,
    SourceAttachment,
    SourceResource,
    SourceUnavailable,
    Totals,
)
from lanthorn_embedded.importing.storage import read_stored

PAGE: Final = 500
SCHEMA_VERSION: Final = "6"
"""The one of Orthanc 0.9.5 (2015) and all since; an older one is upgraded by a newer Orthanc."""

_SCHEMA_PROPERTY: Final = 1
_MODALITIES_PROPERTY: Final = 20
_PEERS_PROPERTY: Final = 21

TOTALS: Final = """
SELECT resourceType, count(*) FROM Resources GROUP BY resourceType"""
TOTAL_SIZE: Final = """
SELECT coalesce(sum(uncompressedSize), 0) FROM AttachedFiles WHERE fileType = 1"""
PROPERTY: Final = """
SELECT value FROM GlobalProperties WHERE property = {0}"""
SERVER_PROPERTY: Final = """
SELECT value FROM ServerProperties WHERE property = {0}"""
RESOURCES: Final = """
SELECT internalId, publicId FROM Resources
WHERE resourceType = {0} AND internalId > {1} ORDER BY internalId LIMIT {2}"""
METADATA: Final = """
SELECT id, type, value FROM Metadata JOIN Resources ON internalId = id
WHERE resourceType = {0} AND internalId BETWEEN {1} AND {2}"""
ATTACHMENTS: Final = """
SELECT id, fileType, uncompressedSize, {md5}, uuid, compressionType
FROM AttachedFiles JOIN Resources ON internalId = id
WHERE resourceType = {0} AND internalId BETWEEN {1} AND {2}"""
LABELS: Final = """
SELECT id, label FROM Labels JOIN Resources ON internalId = id
WHERE resourceType = {0} AND internalId BETWEEN {1} AND {2}"""
UNPROTECTED: Final = """
SELECT patientId FROM PatientRecyclingOrder WHERE patientId BETWEEN {0} AND {1}"""

Row = Sequence[Any]


class Index(Protocol):
    """A database with Orthanc's tables; raises `SourceUnavailable` throughout.

    Statements are written with ``{0}``, ``{1}``, … for their parameters, and with ``{md5}`` for
    the column that has the MD5 of a file's content.
    """

    patient_type: int
    """Number of the patient level in `resourceType`; the others follow it."""

    async def rows(self, statement: str, *parameters: object) -> Sequence[Row]:
        """Return what a statement finds."""
        ...

    async def has_table(self, name: str) -> bool:
        """Tell whether a table exists, whatever its case."""
        ...


class IndexedStorage:
    """A storage folder and its index; see `Source` for the contract.

    Parameters
    ----------
    folder : Path
        Orthanc's `StorageDirectory`.
    index : Index
        Its database.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self._folder = folder
        self._index = index

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._folder)

    async def totals(self) -> Totals:
        """Count what is there now."""
        await self._check_schema()
        counts = {number: count for number, count in await self._index.rows(TOTALS)}
        [(size_bytes,)] = await self._index.rows(TOTAL_SIZE)
        return Totals(
            {level: counts.get(self._type(level), 0) for level in LEVELS},
            int(size_bytes),
        )

    async def pages(self, level: Level) -> AsyncIterator[Sequence[SourceResource]]:
        """Give all resources of a level in the order of their arrival."""
        after = -1
        while rows := await self._index.rows(RESOURCES, self._type(level), after, PAGE):
            first, after = rows[0][0], rows[-1][0]
            details = await self._details(level, first, after)
            yield [details.resource(level, row) for row in rows]

    def _type(self, level: Level) -> int:
        return self._index.patient_type + level.depth

    async def _details(self, level: Level, first: int, last: int) -> _Details:
        page = self._type(level), first, last
        details = _Details(await self._index.rows(METADATA, *page))
        for row, *attachment in await self._index.rows(ATTACHMENTS, *page):
            details.attachments[row].append(_attachment(attachment))
        if await self._index.has_table("Labels"):
            for row, label in await self._index.rows(LABELS, *page):
                details.labels[row].append(label)
        if level is Level.PATIENT:
            unprotected = await self._index.rows(UNPROTECTED, first, last)
            details.unprotected = {row for (row,) in unprotected}
        return details

    async def read(self, resource: SourceResource, attachment: SourceAttachment) -> Content:
        """Read a file of the storage area."""
        return await read_stored(self._folder, attachment)

    async def modalities(self) -> Mapping[str, Any]:
        """Give the remote AEs of `DicomModalitiesInDatabase`."""
        return await self._property(_MODALITIES_PROPERTY)

    async def peer_names(self) -> Sequence[str]:
        """Name the peers of `OrthancPeersInDatabase`."""
        return sorted(await self._property(_PEERS_PROPERTY))

    async def _property(self, number: int) -> dict[str, Any]:
        """Read a property that is a JSON object; with PostgreSQL several servers may have one."""
        rows = list(await self._index.rows(PROPERTY, number))
        if await self._index.has_table("ServerProperties"):
            rows += await self._index.rows(SERVER_PROPERTY, number)
        merged: dict[str, Any] = {}
        for (text,) in rows:
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as exc:
                raise SourceUnavailable(f"property {number} of the index is no JSON") from exc
            merged |= value if isinstance(value, dict) else {}
        return merged

    async def _check_schema(self) -> None:
        if not await self._index.has_table("GlobalProperties"):
            raise SourceUnavailable("the database holds no index of Orthanc")
        rows = await self._index.rows(PROPERTY, _SCHEMA_PROPERTY)
        version = str(rows[0][0]) if rows else "?"
        if version != SCHEMA_VERSION:
            raise SourceUnavailable(
                f"the index has version {version}, not {SCHEMA_VERSION}: start a newer Orthanc "
                "with --upgrade on it once"
            )


class _Details:
    """What belongs to the resources of a page, by their keys in the index."""

    def __init__(self, metadata: Sequence[Row]) -> None:
        self.history: dict[int, dict[str, str]] = defaultdict(dict)
        self.metadata: dict[int, dict[int | str, bytes]] = defaultdict(dict)
        self.attachments: dict[int, list[SourceAttachment]] = defaultdict(list)
        self.labels: dict[int, list[str]] = defaultdict(list)
        self.unprotected: set[int] = set()
        for key, number, value in metadata:
            data = value.encode() if isinstance(value, str) else bytes(value or b"")
            if number >= FIRST_USER_NUMBER:
                self.metadata[key][number] = data
            elif number in METADATA_NUMBERS:
                self.history[key][METADATA_NUMBERS[number]] = data.decode("utf-8", "replace")

    def resource(self, level: Level, row: Row) -> SourceResource:
        """Put one resource together."""
        key, public_id = row
        return SourceResource(
            level,
            public_id,
            history=self.history.get(key, {}),
            metadata=self.metadata.get(key, {}),
            labels=self.labels.get(key, ()),
            attachments=self.attachments.get(key, ()),
            is_protected=level is Level.PATIENT and key not in self.unprotected,
        )


def _attachment(row: Row) -> SourceAttachment:
    number, size_bytes, md5, uuid, compression = row
    return SourceAttachment(number, size_bytes, md5 or "", uuid, compression)

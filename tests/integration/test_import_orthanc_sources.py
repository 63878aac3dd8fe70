"""What an import reads is the same whichever way an Orthanc is reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.model import LEVELS, Level
from lanthorn_embedded.errors import ConfigurationError
from lanthorn_embedded.importing.index import IndexedStorage
from lanthorn_embedded.importing.index_postgres import open_postgres_index
from lanthorn_embedded.importing.index_sqlite import open_sqlite_index
from lanthorn_embedded.importing.rest import OrthancRest
from lanthorn_embedded.importing.server_client import (
    ATTEMPTS,
    AccessDenied,
    ServerAddress,
    ServerClient,
    ServerFull,
    ServerUnavailable,
    parse_address,
)
from lanthorn_embedded.importing.source import Source, SourceResource, SourceUnavailable
from lanthorn_embedded.importing.target import Telling, open_target
from tests.fixtures.dicom_files import make_ct
from tests.fixtures.orthanc_storage import OrthancStorage
from tests.fixtures.running_lanthorn import RunningLanthorn

# As the plugin 4.0 has them: names in lower case, levels from 0, digests under another name.
POSTGRES_TABLES = """
CREATE TABLE GlobalProperties(property INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE ServerProperties(server VARCHAR(64), property INTEGER, value TEXT);
CREATE TABLE Resources(
    internalId BIGSERIAL PRIMARY KEY, resourceType INTEGER, publicId VARCHAR(64), parentId BIGINT);
CREATE TABLE Metadata(id BIGINT, type INTEGER, value TEXT, revision INTEGER);
CREATE TABLE AttachedFiles(
    id BIGINT, fileType INTEGER, uuid VARCHAR(64), compressedSize BIGINT, uncompressedSize BIGINT,
    compressionType INTEGER, uncompressedHash VARCHAR(40), compressedHash VARCHAR(40),
    revision INTEGER);
CREATE TABLE PatientRecyclingOrder(seq BIGSERIAL PRIMARY KEY, patientId BIGINT);
CREATE TABLE Labels(id BIGINT, label TEXT);
"""


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[OrthancStorage]:
    made = OrthancStorage(tmp_path / "orthanc")
    yield made
    made.close()


def fill(storage: OrthancStorage) -> PublicIds:
    ids, _ = storage.add(make_ct())
    storage.add(make_ct(), is_compressed=False)
    for public_id in ids:
        storage.set_metadata(public_id, 1024, "é")
        storage.set_label(public_id, "seen")
        storage.attach(public_id, 1025, b"attached")
    storage.protect(ids.patient)
    storage.set_modalities({"ct": ["CT99", "10.1.1.1", 104]})
    return ids


async def everything(source: Source) -> dict[str, SourceResource]:
    return {
        resource.public_id: resource
        for level in LEVELS
        async for page in source.pages(level)
        for resource in page
    }


async def copy_to_postgres(storage: OrthancStorage, url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(POSTGRES_TABLES)

        async def copy(table: str, rows: list[tuple[Any, ...]]) -> None:
            await connection.copy_records_to_table(table.lower(), records=rows)

        [version, modalities] = storage.rows("GlobalProperties")
        await copy("GlobalProperties", [version])
        await copy("ServerProperties", [("one", *modalities)])
        resources = storage.rows("Resources")
        await copy("Resources", [(key, kind - 1, *more) for key, kind, *more in resources])
        files = storage.rows("AttachedFiles")
        await copy("AttachedFiles", [row[:-1] for row in files])
        for table in ("Metadata", "PatientRecyclingOrder", "Labels"):
            await copy(table, storage.rows(table))
    finally:
        await connection.close()


async def test_an_index_in_postgresql_says_the_same_as_one_in_sqlite(
    storage: OrthancStorage, empty_database_url: str
) -> None:
    ids = fill(storage)
    await copy_to_postgres(storage, empty_database_url)
    async with (
        open_sqlite_index(storage.folder / "index") as sqlite,
        open_postgres_index(empty_database_url) as postgres,
    ):
        ours, theirs = (IndexedStorage(storage.folder, index) for index in (sqlite, postgres))
        found = await everything(ours)
        assert found == await everything(theirs)
        assert await ours.totals() == await theirs.totals()
        assert await ours.modalities() == await theirs.modalities() != {}
    patient = found[ids.patient]
    assert (patient.is_protected, patient.labels, patient.metadata) == (
        True,
        ["seen"],
        {1024: "é".encode()},
    )
    assert [attachment.number for attachment in patient.user_attachments] == [1025]


async def test_an_index_of_another_version_is_refused(storage: OrthancStorage) -> None:
    storage._index.execute("UPDATE GlobalProperties SET value = '5'")
    async with open_sqlite_index(storage.folder / "index") as index:
        with pytest.raises(SourceUnavailable, match="has version 5, not 6"):
            await IndexedStorage(storage.folder, index).totals()


@pytest.mark.parametrize(
    "system",
    [{"Capabilities": {"HasExtendedFind": True}, "HasLabels": True}, {"HasLabels": True}],
    ids=["with extended find", "as before 1.12.5"],
)
async def test_over_rest_an_import_reads_what_another_import_told(
    storage: OrthancStorage, running_lanthorn: RunningLanthorn, system: dict[str, Any]
) -> None:
    """Lanthorn speaks as Orthanc does: so it can be a source as well."""
    ids, data = storage.add(make_ct())
    address = parse_address(running_lanthorn.http_url)
    history = {"Origin": "DicomProtocol", "RemoteAET": "CT99", "CalledAET": "ORTHANC"}
    client = ServerClient(address, 4)
    try:
        await client.upload("POST", "/instances", len(data), data)
        async with open_target(address, 4) as target:
            told = [
                Telling(level, public_id, metadata={"1024": "é"}, labels=["seen"])
                for level, public_id in zip(LEVELS, ids, strict=True)
            ]
            told[0] = replace(told[0], is_protected=True)
            told[3] = replace(told[3], history=history, changed_at="20190102T030405")
            assert await target.tell(told) == set()
        source = OrthancRest(client, system, 4)
        found = await everything(source)
        instance, patient = found[ids.instance], found[ids.patient]
        assert instance.history == {**history, "ReceptionDate": "20190102T030405"}
        assert instance.file is not None
        with await source.read(instance, instance.file) as content:
            assert b"".join(content.pieces()) == data
        assert patient.is_protected
        for public_id in ids:
            assert found[public_id].metadata == {1024: "é".encode()}
            assert list(found[public_id].labels) == ["seen"]
        counts = (await source.totals()).counts
        assert counts == {
            level: sum(resource.level is level for resource in found.values()) for level in Level
        }
    finally:
        await client.close()


@asynccontextmanager
async def answering(*statuses: int) -> AsyncIterator[ServerAddress]:
    """Answer one request after the other with these."""
    left = list(statuses)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {left.pop(0)} Status\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + b"{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield parse_address(f"http://me:secret@127.0.0.1:{port}")
    assert not left


@pytest.mark.parametrize(
    ("statuses", "ending"),
    [([401], AccessDenied), ([507], ServerFull), ([404], ConfigurationError)],
)
async def test_what_ends_an_import_is_said_without_the_password(
    statuses: list[int], ending: type[Exception]
) -> None:
    async with answering(*statuses) as address:
        with pytest.raises(ending) as refused:
            async with open_target(address, 1):
                pass
    assert "secret" not in str(refused.value)


async def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanthorn_embedded.importing.server_client.FIRST_PAUSE_S", 0.0)
    async with answering(503, 502, 200) as address:
        client = ServerClient(address, 1)
        assert await client.get_json("/system") == {}
        await client.close()


async def test_a_server_that_stays_busy_ends_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanthorn_embedded.importing.server_client.FIRST_PAUSE_S", 0.0)
    async with answering(*[503] * ATTEMPTS) as address:
        client = ServerClient(address, 1)
        with pytest.raises(ServerUnavailable, match="answers 503"):
            await client.get_json("/system")
        await client.close()

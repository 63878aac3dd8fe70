"""An S3 server that is busy, slow or breaks off, in front of a real one."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lanthorn_core.adapters import objects_s3, s3_http
from lanthorn_core.adapters.objects_s3 import S3ObjectStore
from lanthorn_core.errors import StorageUnavailable, UnknownResource
from tests.fixtures.faulty_s3 import (
    FaultyS3,
    broken_off,
    busy,
    faults_before,
    hung_up,
    silent_until,
)
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"
DATA = os.urandom(300_000)
ATTEMPTS = 4
PART_BYTES = 5 << 20
"""The least that S3 takes."""


@pytest.fixture(params=["rclone", pytest.param("minio", marks=pytest.mark.minio)])
def server(request: pytest.FixtureRequest) -> S3Server:
    bucket: S3Server = request.getfixturevalue(f"{request.param}_bucket")
    return bucket


@pytest.fixture
def door(server: S3Server) -> Iterator[FaultyS3]:
    with faults_before(server.endpoint) as faulty:
        yield faulty


def open_bucket(door: FaultyS3, server: S3Server, spool_parent: Path) -> S3ObjectStore:
    return S3ObjectStore(
        door.endpoint,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        bucket=server.bucket,
        spool_parent=spool_parent,
    )


@pytest.fixture
async def store(
    door: FaultyS3, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3ObjectStore]:
    monkeypatch.setattr(s3_http, "_PAUSE_S", 0.001)
    monkeypatch.setattr(objects_s3, "PART_BYTES", PART_BYTES)
    async with open_bucket(door, server, tmp_path) as opened:
        door.requests.clear()
        yield opened


@pytest.mark.parametrize("fault", [busy, hung_up])
async def test_what_a_server_has_no_time_for_is_asked_again(
    store: S3ObjectStore, door: FaultyS3, fault: object
) -> None:
    for expected in (
        store.put(KEY, [DATA]),
        store.check(),
        store.stat(KEY),
        store.get(KEY),
        anext(aiter(store.list())),
        store.delete(KEY),
    ):
        door.faults = [fault]  # type: ignore[list-item]
        await expected
        assert door.faults == []
    with pytest.raises(UnknownResource):
        await store.get(KEY)


async def test_a_server_that_stays_busy_is_asked_so_often_and_no_more(
    store: S3ObjectStore, door: FaultyS3
) -> None:
    door.faults = [busy] * 100
    with pytest.raises(StorageUnavailable, match="503 SlowDown"):
        await store.put(KEY, [DATA])
    assert len(door.requests) == ATTEMPTS
    door.faults.clear()
    with pytest.raises(UnknownResource):
        await store.stat(KEY)


async def test_a_silent_server_is_given_up(
    door: FaultyS3, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_http, "SILENCE_TIMEOUT_S", 0.5)
    go_on = threading.Event()
    door.chosen = lambda method, path: method == "PUT" and path.endswith(KEY)
    door.faults = [silent_until(go_on)] * 100
    async with open_bucket(door, server, tmp_path) as store:
        with pytest.raises(StorageUnavailable, match="ReadTimeoutError"):
            await store.put(KEY, [DATA])
        go_on.set()
    assert sum(door.chosen(*request) for request in door.requests) == 2


async def test_an_answer_that_breaks_off_is_read_on_where_it_ended(
    store: S3ObjectStore, door: FaultyS3
) -> None:
    await store.put(KEY, [DATA])
    door.faults = [broken_off, broken_off]
    assert await store.get(KEY) == DATA
    door.faults = [broken_off, busy]
    chunks = [chunk async for chunk in store.stream(KEY, start=7, chunk_bytes=65_536)]
    assert b"".join(chunks) == DATA[7:]
    assert [len(chunk) for chunk in chunks[:-1]] == [65_536] * 4


async def test_an_answer_that_breaks_off_again_and_again_is_given_up(
    store: S3ObjectStore, door: FaultyS3
) -> None:
    await store.put(KEY, [DATA])
    door.requests.clear()
    door.faults = [broken_off] * 100
    with pytest.raises(StorageUnavailable):
        await store.get(KEY)
    assert len(door.requests) == 3


async def test_an_upload_in_parts_survives_a_busy_moment(
    store: S3ObjectStore, door: FaultyS3
) -> None:
    data = os.urandom(2 * PART_BYTES + 5)
    spooled = store.spool_folder / "arriving"
    spooled.write_bytes(data)
    # Of the beginning, each part and the end, every other attempt fails.
    door.faults = [busy, lambda _request: False] * 20
    await store.put(KEY, spooled)
    door.faults.clear()
    assert await store.get(KEY) == data


async def test_an_upload_in_parts_that_fails_is_aborted(
    store: S3ObjectStore, door: FaultyS3, server: S3Server
) -> None:
    spooled = store.spool_folder / "arriving"
    spooled.write_bytes(os.urandom(3 * PART_BYTES))
    door.chosen = lambda _method, path: "partNumber=2" in path
    door.faults = [busy] * 100
    with pytest.raises(StorageUnavailable):
        await store.put(KEY, spooled)
    assert not spooled.exists()
    assert door.requests[-1][0] == "DELETE"
    with pytest.raises(UnknownResource):
        await store.stat(KEY)
    with server.client() as client:
        assert client._list_multipart_uploads(server.bucket, prefix=KEY).uploads == []


async def test_an_upload_may_take_longer_than_connecting_as_long_as_it_gets_on(
    door: FaultyS3, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_http, "CONNECT_TIMEOUT_S", 0.3)
    data = os.urandom(PART_BYTES)
    async with open_bucket(door, server, tmp_path) as store:
        door.pause_per_mebibyte_s = 0.15
        spooled = store.spool_folder / "arriving"
        spooled.write_bytes(data)
        door.requests.clear()
        await store.put(KEY, spooled)
        assert len(door.requests) == 1
        assert await store.get(KEY) == data

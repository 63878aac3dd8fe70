"""Archives as they are sent: in pieces, ahead of the client, and no longer than it listens."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core.adapters.objects_fs import FilesystemObjectStore
from lanthorn_core.errors import IndexUnavailable, StorageUnavailable
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from lanthorn_rest_api.rest.archive import (
    WHOLE_FILE_BYTES,
    ArchiveAnswer,
    ArchiveSources,
    write_archive,
)
from lanthorn_rest_api.streaming import until_disconnect

SCOPE = {"type": "http", "path": "/studies/x/archive"}
FILES = {
    "P/S/E/CT000000.dcm": b"small" * 100,
    "P/S/E/CT000001.dcm": bytes(range(256)) * (WHOLE_FILE_BYTES // 256 + 700),
    "P/S/E/CT000002.dcm": b"",
    "P/S/E/CT000003.dcm": b"middle" * 50_000,
}


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FilesystemObjectStore]:
    async with FilesystemObjectStore(tmp_path / "objects") as store:
        yield store


def stored(key: str, size_bytes: int) -> StoredInstance:
    return StoredInstance("id", key, size_bytes, "1.2", "1.2.3", "1.2.840.10008.1.2.1", None, 1)


async def put_all(
    objects: FilesystemObjectStore, files: dict[str, bytes]
) -> list[tuple[str, StoredInstance]]:
    named = []
    for name, data in files.items():
        key = object_key(new_receipt_id())
        await objects.put(key, [data])
        named.append((name, stored(key, len(data))))
    return named


async def one_by_one(
    named: list[tuple[str, StoredInstance]],
) -> AsyncIterator[tuple[str, StoredInstance]]:
    for name, instance in named:
        yield name, instance


async def written(objects: FilesystemObjectStore, named: list[Any]) -> dict[str, bytes]:
    pieces: list[bytes] = []

    async def emit(new: list[bytes]) -> None:
        pieces.extend(new)

    await write_archive(ArchiveSources(objects), one_by_one(named), emit)
    with zipfile.ZipFile(BytesIO(b"".join(pieces))) as reading:
        assert reading.testzip() is None
        return {entry.filename: reading.read(entry) for entry in reading.infolist()}


async def test_small_and_large_files_arrive_whole(objects: FilesystemObjectStore) -> None:
    assert await written(objects, await put_all(objects, FILES)) == FILES


async def test_a_file_deleted_meanwhile_is_left_out(objects: FilesystemObjectStore) -> None:
    named = await put_all(objects, FILES)
    for _, instance in named[:2]:
        await objects.delete(instance.object_key)
    assert await written(objects, named) == dict(list(FILES.items())[2:])


async def test_an_index_that_fails_midway_breaks_the_archive(
    objects: FilesystemObjectStore,
) -> None:
    named = await put_all(objects, FILES)

    async def failing() -> AsyncIterator[tuple[str, StoredInstance]]:
        yield named[0]
        raise IndexUnavailable("gone")

    async def emit(_: list[bytes]) -> None:
        return

    with pytest.raises(IndexUnavailable):
        await write_archive(ArchiveSources(objects), failing(), emit)


async def test_one_file_is_read_ahead_and_no_more(objects: FilesystemObjectStore) -> None:
    named = await put_all(objects, {str(number): bytes(10) for number in range(20)})
    asked: list[str] = []

    async def watched() -> AsyncIterator[tuple[str, StoredInstance]]:
        for name, instance in named:
            asked.append(name)
            yield name, instance

    async def emit(_: list[bytes]) -> None:
        await asyncio.sleep(0.01)
        emitted.append(len(asked))

    emitted: list[int] = []
    await write_archive(ArchiveSources(objects), watched(), emit)
    # While the n-th file is on its way, one waits, and one more was asked for.
    assert all(ahead <= sent + 3 for sent, ahead in enumerate(emitted))


async def test_the_work_stops_when_the_client_leaves(objects: FilesystemObjectStore) -> None:
    named = await put_all(objects, {str(number): bytes(10) for number in range(50)})
    sent: list[Any] = []
    has_left = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 5:
            has_left.set()
        await asyncio.sleep(0)

    async def receive() -> Any:
        await has_left.wait()
        return {"type": "http.disconnect"}

    await ArchiveAnswer(ArchiveSources(objects), one_by_one(named), "x.zip")(SCOPE, receive, send)
    assert sent[0]["status"] == 200
    assert len(sent) < 50
    assert sent[-1]["more_body"]


async def test_an_archive_has_a_name_and_no_length(objects: FilesystemObjectStore) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    answer = ArchiveAnswer(ArchiveSources(objects), one_by_one([]), 'a"\r\nX: y.zip')
    await answer(SCOPE, receive, send)
    headers = dict(sent[0]["headers"])
    assert headers[b"content-disposition"] == b'filename="aX: y.zip"'
    assert headers[b"content-type"] == b"application/zip"
    assert b"content-length" not in headers
    assert not sent[-1]["more_body"]


async def test_an_error_of_the_work_comes_out_as_it_is() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise StorageUnavailable("gone")

    async def receive() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(StorageUnavailable):
        await until_disconnect(failing(), receive)


async def test_other_messages_of_a_client_do_not_end_the_work() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.request"}])

    async def receive() -> Any:
        message = next(messages, None)
        if message is None:
            await asyncio.Event().wait()
        return message

    async def work() -> None:
        await asyncio.sleep(0.01)

    assert await until_disconnect(work(), receive)

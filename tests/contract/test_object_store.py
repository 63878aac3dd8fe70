"""What the port `ObjectStore` promises, held by each adapter."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from lanthorn_core.adapters.objects_fs import FilesystemObjectStore
from lanthorn_core.adapters.objects_s3 import PART_BYTES, S3ObjectStore
from lanthorn_core.errors import InvalidParameter, UnknownResource
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer, ObjectStore
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"
TEN = b"0123456789"


@pytest.fixture(params=["files", "rclone", pytest.param("minio", marks=pytest.mark.minio)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    if request.param == "files":
        async with FilesystemObjectStore(tmp_path / "objects") as files:
            yield files
        return
    server: S3Server = request.getfixturevalue(f"{request.param}_bucket")
    async with S3ObjectStore(
        server.endpoint,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        bucket=server.bucket,
        spool_parent=tmp_path,
    ) as bucket:
        yield bucket


async def everything(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key async for info in store.list(prefix)]


@pytest.mark.parametrize(
    "source",
    [
        [TEN],
        [b"0123", bytearray(b"456"), memoryview(b"xx789xx")[2:5]],
        [b"", TEN, b""],
        [bytes([character]) for character in TEN],
    ],
    ids=["one", "kinds", "empty-parts", "bytes"],
)
async def test_an_object_is_the_sum_of_its_buffers(
    store: ObjectStore, source: list[Buffer]
) -> None:
    await store.put(KEY, source)
    assert await store.get(KEY) == TEN


async def test_more_buffers_than_one_system_call_takes_are_all_written(store: ObjectStore) -> None:
    parts = [os.urandom(7) for _ in range(2500)]
    await store.put(KEY, parts)
    assert await store.get(KEY) == b"".join(parts)


async def test_what_is_cached_is_the_whole_object(store: ObjectStore) -> None:
    data = bytes(range(256)) * 1024
    await store.put("a/b.dcm", [data])
    await store.get("a/b.dcm")
    buffer = bytearray(len(data) + 1)
    size_bytes = store.read_cached("a/b.dcm", buffer)
    assert size_bytes is None or buffer[:size_bytes] == data
    assert store.read_cached("a/b.dcm", bytearray(len(data) - 1)) is None
    assert store.read_cached("a/c.dcm", buffer) is None
    assert store.read_cached("a", buffer) is None


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.put(KEY, [])
    assert await store.get(KEY) == b""
    assert await everything(store.stream(KEY)) == []
    assert await store.stat(KEY) == ObjectInfo(KEY, 0)


@pytest.mark.parametrize("size_bytes", [0, 10, 100_000, 3 << 20])
async def test_a_digest_is_fed_with_all_that_is_stored(store: ObjectStore, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    parts = [content[: size_bytes // 3], content[size_bytes // 3 :]]
    digest = hashlib.sha256()
    await store.put(KEY, parts, digest=digest)
    assert digest.digest() == hashlib.sha256(content).digest()


async def test_a_repeated_put_changes_nothing(store: ObjectStore) -> None:
    await store.put(KEY, [TEN])
    await store.put(KEY, [TEN])
    assert await store.get(KEY) == TEN
    assert await keys(store) == [KEY]


async def test_a_buffer_may_be_reused_after_a_put(store: ObjectStore) -> None:
    buffer = bytearray(os.urandom(3 << 20))
    content = bytes(buffer)
    await store.put(KEY, [memoryview(buffer)])
    buffer[:] = bytes(len(buffer))
    assert await store.get(KEY) == content


@pytest.mark.parametrize("size_bytes", [10, 2 * PART_BYTES + 12345], ids=["small", "in-parts"])
async def test_a_spool_file_becomes_the_object(store: ObjectStore, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    spooled = store.spool_folder / "arriving"
    spooled.write_bytes(content)
    await store.put(KEY, spooled)
    assert not spooled.exists()
    assert await store.stat(KEY) == ObjectInfo(KEY, size_bytes)
    assert b"".join(await everything(store.stream(KEY))) == content


async def test_a_spool_file_is_gone_also_when_its_put_fails(store: ObjectStore) -> None:
    spooled = store.spool_folder / "arriving"
    spooled.write_bytes(TEN)
    with pytest.raises(InvalidParameter):
        await store.put("../out", spooled)
    assert not spooled.exists()


async def test_a_spool_file_is_gone_also_when_its_put_is_cancelled(store: ObjectStore) -> None:
    spooled = [store.spool_folder / f"arriving-{number}" for number in range(30)]
    for file in spooled:
        file.write_bytes(os.urandom(100_000))
    puts = [asyncio.ensure_future(store.put(f"cancelled/{file.name}", file)) for file in spooled]
    await asyncio.sleep(0)
    for put in puts:
        put.cancel()
    await asyncio.wait(puts)
    assert not any(file.exists() for file in spooled)


async def test_a_file_elsewhere_is_refused_and_stays(store: ObjectStore, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(TEN)
    with pytest.raises(ValueError, match="spool folder"):
        await store.put(KEY, foreign)
    assert foreign.read_bytes() == TEN


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, None, TEN),
        (3, None, b"3456789"),
        (0, 4, b"0123"),
        (3, 4, b"3456"),
        (8, 100, b"89"),
        (9, 1, b"9"),
        (10, None, b""),
        (10, 5, b""),
        (100, None, b""),
        (3, 0, b""),
    ],
)
async def test_a_range_ends_where_the_object_ends(
    store: ObjectStore, start: int, length: int | None, expected: bytes
) -> None:
    await store.put(KEY, [TEN])
    assert await store.get(KEY, start=start, length=length) == expected
    assert b"".join(await everything(store.stream(KEY, start=start, length=length))) == expected


async def test_chunks_are_as_large_as_asked_and_in_order(store: ObjectStore) -> None:
    content = os.urandom(100_000)
    await store.put(KEY, [content])
    chunks = await everything(store.stream(KEY, start=1000, length=70_001, chunk_bytes=16_384))
    assert [len(chunk) for chunk in chunks] == [16_384, 16_384, 16_384, 16_384, 4465]
    assert b"".join(chunks) == content[1000:71_001]


async def test_consumers_that_stop_early_leave_nothing_taken(store: ObjectStore) -> None:
    content = os.urandom(1 << 20)
    await store.put(KEY, [content])
    for _ in range(20):
        chunks = store.stream(KEY, chunk_bytes=4096)
        assert await anext(chunks) == content[:4096]
        await chunks.aclose()  # type: ignore[attr-defined]  # every stream is a generator
    assert await store.get(KEY) == content


async def test_more_open_streams_than_threads_all_end(store: ObjectStore) -> None:
    content = os.urandom(1 << 20)
    await store.put(KEY, [content])
    streams = [store.stream(KEY, chunk_bytes=1 << 16) for _ in range(20)]
    firsts = [await anext(stream) for stream in streams]
    rests = await asyncio.gather(*map(everything, streams))
    assert all(
        b"".join([first, *rest]) == content for first, rest in zip(firsts, rests, strict=True)
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get("no/such.dcm"),
        lambda store: store.get("no/such.dcm", start=3, length=0),
        lambda store: store.get("instances"),
        lambda store: store.get(f"{KEY}/below"),
        lambda store: store.stat("no/such.dcm"),
        lambda store: store.stat("instances"),
        lambda store: everything(store.stream("no/such.dcm")),
    ],
    ids=["get", "nothing-of-it", "folder", "below-an-object", "stat", "stat-folder", "stream"],
)
async def test_what_is_not_there_is_an_unknown_resource(
    store: ObjectStore, ask: Callable[[ObjectStore], Awaitable[object]]
) -> None:
    await store.put(KEY, [TEN])
    with pytest.raises(UnknownResource):
        await ask(store)


async def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(
    store: ObjectStore,
) -> None:
    await store.put(KEY, [TEN])
    await store.delete(KEY)
    await store.delete(KEY)
    with pytest.raises(UnknownResource):
        await store.get(KEY)
    assert await keys(store) == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../out", "a/../b", "a//b", "a/", ".spool/x", "a\0b", "a\\b", "a b"]
)
async def test_a_key_that_leads_elsewhere_is_refused(store: ObjectStore, key: str) -> None:
    for refused in (
        store.put(key, [TEN]),
        store.get(key),
        store.stat(key),
        store.delete(key),
        everything(store.stream(key)),
    ):
        with pytest.raises(InvalidParameter):
            await refused


async def test_a_range_before_the_object_is_refused(store: ObjectStore) -> None:
    with pytest.raises(InvalidParameter):
        await store.get(KEY, start=-1)
    with pytest.raises(InvalidParameter):
        await everything(store.stream(KEY, length=-1))


async def test_a_listing_is_in_the_order_of_the_keys(store: ObjectStore) -> None:
    wanted = sorted(["a/1.dcm", "a/10.dcm", "a/2.dcm", "a/b/1.dcm", "b/1.dcm", "c.dcm", "c/1.dcm"])
    for key in reversed(wanted):
        await store.put(key, [key.encode()])
    found = [info async for info in store.list()]
    assert found == [ObjectInfo(key, len(key)) for key in wanted]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("a/", ["a/1.dcm", "a/2/3.dcm"]),
        ("a/2/", ["a/2/3.dcm"]),
        ("a/2", ["a/2/3.dcm"]),
        ("a/1.d", ["a/1.dcm"]),
        ("a", ["a/1.dcm", "a/2/3.dcm", "ab/1.dcm"]),
        ("nothing/", []),
        ("a/1.dcm/", []),
    ],
)
async def test_a_listing_starts_with_its_prefix(
    store: ObjectStore, prefix: str, expected: list[str]
) -> None:
    for key in ("a/1.dcm", "a/2/3.dcm", "ab/1.dcm", "b/1.dcm"):
        await store.put(key, [TEN])
    assert await keys(store, prefix) == expected


@pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../../"])
async def test_a_prefix_that_leads_elsewhere_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(InvalidParameter):
        await keys(store, prefix)


async def test_a_long_listing_is_whole(store: ObjectStore) -> None:
    wanted = [f"many/{number:04}.dcm" for number in range(1100)]
    gate = asyncio.Semaphore(8)

    async def put(key: str) -> None:
        async with gate:
            await store.put(key, [b"x"])

    await asyncio.gather(*map(put, wanted))
    assert await keys(store, "many/") == wanted


async def test_puts_at_the_same_time_all_arrive(store: ObjectStore) -> None:
    contents = {f"hour/{number}.dcm": os.urandom(20_000) for number in range(60)}
    await asyncio.gather(*(store.put(key, [content]) for key, content in contents.items()))
    for key, content in contents.items():
        assert await store.get(key) == content


async def test_a_cancelled_put_leaves_nothing_or_the_whole(store: ObjectStore) -> None:
    buffer = bytearray(os.urandom(24 << 20))
    content = bytes(buffer)
    put = asyncio.ensure_future(store.put(KEY, [memoryview(buffer)]))
    await asyncio.sleep(0)
    time.sleep(0.002)  # noqa: ASYNC251  # a thread writes; of its end nobody hears before this
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    buffer[:] = bytes(len(buffer))
    async for info in store.list():
        assert await store.get(info.key) == content


async def test_a_store_that_answers_passes_its_check(store: ObjectStore) -> None:
    await store.check()

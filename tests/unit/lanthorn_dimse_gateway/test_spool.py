"""Data sets as they arrive, in memory or in the spool folder."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
import random
import resource
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanthorn_core.errors import StorageFull, StorageUnavailable
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_dimse_gateway.aligned_file import AlignedFile
from lanthorn_dimse_gateway.receive_buffers import BUFFER_BYTES, ReceiveBuffers
from lanthorn_dimse_gateway.spool import SpooledFile

PDU_BYTES = 131_066
BIG = 3 * BUFFER_BYTES


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class Sender:
    """A peer that sends while it is not held back, as the upper layer does."""

    def __init__(self, folder: Path, budget: ByteBudget | None = None) -> None:
        self.budget = budget or ByteBudget(16 * BUFFER_BYTES)
        self.buffers = ReceiveBuffers(self.budget)
        self.pauses = 0
        self._held = 0
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self.spooled = SpooledFile(
            folder, self.buffers, b"META", pause=self._pause, resume=self._resume
        )

    @property
    def is_held(self) -> bool:
        return self._held > 0

    def _pause(self) -> None:
        self.pauses += 1
        self._held += 1
        self._may_go_on.clear()

    def _resume(self) -> None:
        self._held -= 1
        assert self._held == 0
        self._may_go_on.set()

    async def send(self, *fragments: bytes) -> None:
        """Send fragments; each is overwritten after the call, as the receive buffer would be."""
        for fragment in fragments:
            await self._may_go_on.wait()
            passing = bytearray(fragment)
            self.spooled.write(memoryview(passing))
            passing[:] = b"?" * len(passing)

    async def send_data(self, data: bytes) -> None:
        await self.send(*(data[at : at + PDU_BYTES] for at in range(0, len(data), PDU_BYTES)))

    async def whole(self) -> bytes:
        """End the file; its bytes."""
        source = await self.spooled.finish()
        if isinstance(source, Path):
            data = source.read_bytes()
            source.unlink()
            assert self.spooled.sha256 == hashlib.sha256(data).hexdigest()
        else:
            data = b"".join(source)
            assert self.spooled.sha256 is None
        self.spooled.discard()
        assert self.budget.in_flight_bytes == 0, "a buffer was not given back"
        return data


@given(
    sizes=st.lists(st.integers(1, 300_000), max_size=12),
    seed=st.integers(0, 1 << 30),
    buffers=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_the_bytes_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int, buffers: int
) -> None:
    chance = random.Random(seed)
    fragments = [chance.randbytes(size_bytes) for size_bytes in sizes]

    async def exchange() -> bytes:
        budget = ByteBudget(buffers * BUFFER_BYTES)
        sender = Sender(tmp_path_factory.getbasetemp(), budget)
        await sender.send(*fragments)
        assert sender.spooled.size_bytes == 4 + sum(sizes)
        return await sender.whole()

    assert asyncio.run(exchange()) == b"META" + b"".join(fragments)


@pytest.mark.parametrize("size_bytes", [1, 4096, BUFFER_BYTES - 5, BUFFER_BYTES - 4])
async def test_what_fits_a_buffer_never_touches_the_disk(tmp_path: Path, size_bytes: int) -> None:
    sender = Sender(tmp_path / "does-not-exist")
    data = os.urandom(size_bytes)
    await sender.send_data(data)
    assert await sender.whole() == b"META" + data
    assert sender.pauses == 0


@pytest.mark.parametrize("size_bytes", [BUFFER_BYTES - 3, 2 * BUFFER_BYTES - 4, BIG + 1])
async def test_a_large_one_is_a_file_in_the_folder(tmp_path: Path, size_bytes: int) -> None:
    sender = Sender(tmp_path)
    data = os.urandom(size_bytes)
    await sender.send_data(data)
    source = await sender.spooled.finish()
    assert isinstance(source, Path)
    assert source.parent == tmp_path
    assert source.read_bytes() == b"META" + data
    sender.spooled.discard()


async def test_what_begins_in_memory_begins_on_a_page(tmp_path: Path) -> None:
    sender = Sender(tmp_path)
    await sender.send(b"x")
    (content,) = await sender.spooled.finish()
    assert isinstance(content, memoryview)
    assert isinstance(content.obj, mmap.mmap)
    sender.spooled.discard()


async def test_nothing_is_read_until_there_is_a_buffer(tmp_path: Path) -> None:
    budget = ByteBudget(BUFFER_BYTES)
    first = Sender(tmp_path, budget)
    second = Sender(tmp_path, budget)
    assert (first.is_held, second.is_held) == (False, True)
    await first.send_data(b"first")
    assert await first.spooled.finish() == [b"METAfirst"]
    first.spooled.discard()
    await second.send_data(b"second")
    assert await second.whole() == b"METAsecond"


async def test_who_no_longer_waits_for_a_buffer_does_not_get_one(tmp_path: Path) -> None:
    budget = ByteBudget(BUFFER_BYTES)
    first = Sender(tmp_path, budget)
    second = Sender(tmp_path, budget)
    third = Sender(tmp_path, budget)
    second.spooled.discard()
    first.spooled.discard()
    await third.send_data(b"third")
    assert await third.whole() == b"METAthird"


async def test_who_gives_up_while_it_waits_is_no_longer_held_back(tmp_path: Path) -> None:
    budget = ByteBudget(BUFFER_BYTES)
    first = Sender(tmp_path, budget)
    second = Sender(tmp_path, budget)
    second.spooled.discard()
    assert not second.is_held, "the association goes on with its next request"
    first.spooled.discard()


async def test_a_bug_in_the_writing_thread_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(AlignedFile, "write", fail)
    sender = Sender(tmp_path)
    await sender.send_data(bytes(BIG))
    with pytest.raises(ZeroDivisionError):
        await sender.spooled.finish()
    sender.spooled.discard()
    assert entries(tmp_path) == []
    assert sender.budget.in_flight_bytes == 0


async def test_one_buffer_is_enough_for_any_object(tmp_path: Path) -> None:
    sender = Sender(tmp_path, ByteBudget(BUFFER_BYTES))
    data = os.urandom(BIG)
    await sender.send_data(data)
    assert sender.pauses > 0
    assert await sender.whole() == b"META" + data


async def test_discarding_removes_the_file(tmp_path: Path) -> None:
    sender = Sender(tmp_path)
    await sender.send_data(bytes(BIG))
    assert entries(tmp_path)
    sender.spooled.discard()
    sender.spooled.discard()
    assert entries(tmp_path) == []


async def test_discarding_while_the_disk_is_busy_leaves_nothing(tmp_path: Path) -> None:
    for pieces in range(8, 28):
        sender = Sender(tmp_path)
        await sender.send(*[bytes(PDU_BYTES)] * pieces)
        sender.spooled.discard()
        async with asyncio.timeout(10):
            while sender.budget.in_flight_bytes:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.001)
        assert entries(tmp_path) == []


async def test_discarding_leaves_a_finished_file_to_its_new_owner(tmp_path: Path) -> None:
    sender = Sender(tmp_path)
    await sender.send_data(bytes(BIG))
    source = await sender.spooled.finish()
    sender.spooled.discard()
    assert isinstance(source, Path)
    assert source.exists()


async def test_a_missing_folder_is_told_at_the_end(tmp_path: Path) -> None:
    sender = Sender(tmp_path / "gone")
    await sender.send_data(bytes(BIG))
    with pytest.raises(StorageUnavailable):
        await sender.spooled.finish()
    assert sender.budget.in_flight_bytes == 0
    sender.spooled.discard()
    assert sender.budget.in_flight_bytes == 0


@pytest.fixture
def files_of_two_mebibytes() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_of_two_mebibytes")
@pytest.mark.parametrize("size_bytes", [(2 << 20) + 5000, 9 << 20])
async def test_a_full_disk_is_told_at_the_end_and_leaves_nothing(
    tmp_path: Path, size_bytes: int
) -> None:
    sender = Sender(tmp_path)
    await sender.send_data(bytes(size_bytes))
    with pytest.raises(StorageFull):
        await sender.spooled.finish()
    assert entries(tmp_path) == []
    assert sender.budget.in_flight_bytes == 0


async def test_free_buffers_do_not_pile_up() -> None:
    buffers = ReceiveBuffers(ByteBudget(100 * BUFFER_BYTES))
    lent = deque()
    for _ in range(40):
        assert buffers.claim().done()
        lent.append(buffers.lend())
    while lent:
        buffers.take_back(lent.popleft())
    assert len(buffers._free) == 16


def page_aligned(data: bytes) -> memoryview:
    buffer = mmap.mmap(-1, 2 << 20)
    buffer[: len(data)] = data
    return memoryview(buffer)


@given(blocks=st.lists(st.integers(0, 384), max_size=3), rest=st.integers(0, 4095))
@settings(max_examples=15, deadline=None)
def test_aligned_files_hold_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[int], rest: int
) -> None:
    pieces = [os.urandom(count * 4096) for count in blocks] + [os.urandom(rest)]
    path = tmp_path_factory.getbasetemp() / "aligned"
    path.unlink(missing_ok=True)
    file = AlignedFile(path)
    for piece in pieces:
        file.write(page_aligned(piece), len(piece))
    file.close()
    assert path.read_bytes() == b"".join(pieces)
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read it"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a memory file system")
def test_aligned_files_do_without_direct_writing_where_there_is_none() -> None:
    path = Path("/dev/shm") / f"lanthorn-test-{os.getpid()}"
    file = AlignedFile(path)
    try:
        file.write(page_aligned(b"x" * 5000), 5000)
        file.close()
        assert path.read_bytes() == b"x" * 5000
    finally:
        path.unlink()


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError):
        AlignedFile(path)
    assert path.read_bytes() == b"before"

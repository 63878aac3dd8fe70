"""What both stores of worklist items promise, and what the folder does with strange files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lanthorn_core.adapters.index_postgres.pool import open_pool
from lanthorn_core.adapters.worklist_files import MAX_FILE_BYTES, WorklistFolder
from lanthorn_core.adapters.worklists_postgres.worklists import PostgresWorklists
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.ports.worklists import WorklistStore


@pytest.fixture(params=["folder", "database"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str
) -> AsyncIterator[WorklistStore]:
    async with AsyncExitStack() as stack:
        if request.param == "folder":
            yield await stack.enter_async_context(WorklistFolder(tmp_path / "not there yet"))
            return
        pool = await stack.enter_async_context(
            open_pool(database_url, application="test", read_only=False, size=2)
        )
        yield PostgresWorklists(pool)


async def ids_of(store: WorklistStore) -> list[str]:
    return [entry.worklist_id for entry in await store.entries()]


async def test_an_empty_store_has_no_entries(store: WorklistStore) -> None:
    assert list(await store.entries()) == []


async def test_what_was_written_is_listed_and_read(store: WorklistStore) -> None:
    await store.write("b", b"two")
    await store.write("a", b"one")
    assert await ids_of(store) == ["a", "b"]
    assert await store.read("b") == b"two"


async def test_a_new_content_is_a_new_revision(store: WorklistStore) -> None:
    await store.write("a", b"one")
    (before,) = await store.entries()
    await store.write("a", b"ONE")
    (after,) = await store.entries()
    assert await store.read("a") == b"ONE"
    assert (after.worklist_id, after.created_at) == (before.worklist_id, before.created_at)
    assert after.revision != before.revision


async def test_what_was_deleted_is_gone(store: WorklistStore) -> None:
    await store.write("a", b"one")
    assert await store.delete("a") is True
    assert await store.delete("a") is False
    assert await ids_of(store) == []
    with pytest.raises(UnknownResource):
        await store.read("a")


async def test_an_id_is_never_a_way_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.wl").write_bytes(b"secret")
    async with WorklistFolder(tmp_path / "folder") as folder:
        await folder.write("a", b"one")
        for name in ("../secret", "", ".hidden", "a/../../secret", "a\0b", "x" * 300):
            with pytest.raises(UnknownResource):
                await folder.read(name)
            with pytest.raises(UnknownResource):
                await folder.write(name, b"")
            assert await folder.delete(name) is False
    assert (tmp_path / "secret.wl").read_bytes() == b"secret"
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["a.wl"]


async def test_only_files_of_the_suffix_are_items(tmp_path: Path) -> None:
    for name in ("lockfile", "a.txt", ".b.wl", "c.wl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.wl").mkdir()
    os.mkfifo(tmp_path / "pipe.wl")
    (tmp_path / "nowhere.wl").symlink_to(tmp_path / "nothing")
    async with WorklistFolder(tmp_path) as folder:
        assert await ids_of(folder) == ["c"]
        with pytest.raises(InvalidDataset, match="regular"):
            await folder.read("pipe")


async def test_a_file_that_is_too_large_is_no_item(tmp_path: Path) -> None:
    (tmp_path / "large.wl").write_bytes(bytes(MAX_FILE_BYTES + 1))
    async with WorklistFolder(tmp_path) as folder:
        with pytest.raises(InvalidDataset, match="bytes"):
            await folder.read("large")

"""Objects that no instance needs any more, and a store that does not let go of all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from lanthorn_core import wiring
from lanthorn_core.adapters.objects_fs import FilesystemObjectStore
from lanthorn_core.errors import StorageRefused
from lanthorn_indexer.housekeeping import REFUSED_FOR_S, collect_garbage_forever
from tests.fixtures.index import System


class Keeping(FilesystemObjectStore):
    """Holds what is under ``locked/``, as a policy or an object lock does; counts who asks."""

    asked = 0

    async def delete(self, key: str) -> None:
        if key.startswith("locked/"):
            self.asked += 1
            raise StorageRefused("The object store answered 403 AccessDenied")
        await super().delete(key)


async def test_what_the_store_does_not_let_go_is_postponed_and_the_rest_removed(
    make_system, tmp_path: Path
) -> None:
    system: System = await make_system()
    locked = ["locked/a", "locked/z"]
    keys = [locked[0], "free/b", "free/c", locked[1], "free/d"]
    async with Keeping(tmp_path / "kept") as objects:
        for key in keys:
            await objects.put(key, [b"DICM"])
        connection = await asyncpg.connect(system.settings.runtime.database_url)
        await connection.execute(
            "INSERT INTO object_garbage (object_key, discarded_at) SELECT key, now() "
            "FROM unnest($1::text[]) AS key",
            keys,
        )
        await connection.close()
        async with wiring.open_index_writer(system.settings) as writer:
            collecting = asyncio.ensure_future(collect_garbage_forever(writer, objects, 0.0))
            async with asyncio.timeout(20):
                while await writer.garbage(at_most=9, older_than_s=0.0):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            collecting.cancel()
            assert [info.key async for info in objects.list()] == locked
            assert objects.asked == len(locked)
            assert await writer.unknown_keys(locked) == []
            tomorrow = await writer.garbage(at_most=9, older_than_s=-REFUSED_FOR_S - 1)
            assert sorted(tomorrow) == locked

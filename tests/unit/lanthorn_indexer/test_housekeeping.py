"""What the indexer does by the clock must outlive the trouble of the day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from lanthorn_core.errors import StorageFull
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_indexer.housekeeping import collect_garbage_forever


class Garbage:
    """One discarded object, until it is struck from the list."""

    def __init__(self) -> None:
        self.keys = ["a"]
        self.is_forgotten = asyncio.Event()

    async def garbage(self, **_limits: Any) -> list[str]:
        return self.keys

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        self.keys = []
        self.is_forgotten.set()


class StoreThatWasFull:
    """Refuses the first deletion, as a file system without room for its journal does."""

    def __init__(self) -> None:
        self.deletions = 0

    async def delete(self, _key: str) -> None:
        self.deletions += 1
        if self.deletions == 1:
            raise StorageFull("No room is left in the object store")


async def test_garbage_is_collected_once_a_full_store_lets_us() -> None:
    writer, objects = Garbage(), StoreThatWasFull()
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(
            collect_garbage_forever(
                cast("IndexWriter", writer), cast("ObjectStore", objects), keep_s=0
            )
        )
        await writer.is_forgotten.wait()
        collecting.cancel()
    assert objects.deletions == 2

"""The cache of small objects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lanthorn_core.adapters.objects_fs import FilesystemObjectStore
from lanthorn_core.errors import UnknownResource
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from lanthorn_rest_api.hot_objects import HotObjects


async def test_an_object_is_read_once(tmp_path: Path) -> None:
    key = object_key(new_receipt_id())
    async with FilesystemObjectStore(tmp_path / "objects") as objects:
        await objects.put(key, [b"12345"])
        hot = HotObjects(objects)
        assert await hot.get(key) == b"12345"
        await objects.delete(key)
        assert await hot.get(key) == b"12345"


async def test_what_was_asked_for_longest_ago_goes_first(tmp_path: Path) -> None:
    keys = [object_key(new_receipt_id()) for _ in range(3)]
    async with FilesystemObjectStore(tmp_path / "objects") as objects:
        for key in keys:
            await objects.put(key, [bytes(40)])
        hot = HotObjects(objects, limit_bytes=100)
        for key in (keys[0], keys[1], keys[0], keys[2]):
            await hot.get(key)
        assert hot.held_bytes == 80
        for key in keys:
            await objects.delete(key)
        assert await hot.get(keys[0]) == bytes(40)
        assert await hot.get(keys[2]) == bytes(40)
        with pytest.raises(UnknownResource):
            await hot.get(keys[1])


async def test_what_exceeds_the_cache_is_not_kept(tmp_path: Path) -> None:
    key = object_key(new_receipt_id())
    async with FilesystemObjectStore(tmp_path / "objects") as objects:
        await objects.put(key, [bytes(101)])
        hot = HotObjects(objects, limit_bytes=100)
        assert await hot.get(key) == bytes(101)
        assert hot.held_bytes == 0


async def test_readers_at_once_are_counted_once(tmp_path: Path) -> None:
    key = object_key(new_receipt_id())
    async with FilesystemObjectStore(tmp_path / "objects") as objects:
        await objects.put(key, [bytes(40)])
        hot = HotObjects(objects, limit_bytes=100)
        assert await asyncio.gather(*(hot.get(key) for _ in range(5))) == [bytes(40)] * 5
        assert hot.held_bytes == 40

"""Small objects that were asked for lately, kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.telemetry.metrics import CACHE_BYTES, count_look_ups

SMALL_BYTES: Final = 1 << 20
"""Larger objects are streamed: a CT slice is small, a mammogram is not."""

LIMIT_BYTES: Final = 64 << 20

_CACHE: Final = "files"
_HITS, _MISSES = count_look_ups(_CACHE)
_HELD: Final = CACHE_BYTES.labels(_CACHE)


class HotObjects:
    """Read small objects through a cache; keys are never overwritten, so nothing gets stale.

    Parameters
    ----------
    objects : ObjectStore
        Where they come from.
    limit_bytes : int
        What the cache may hold; who was asked for longest ago goes first.
    """

    def __init__(self, objects: ObjectStore, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._objects = objects
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._held: OrderedDict[str, bytes] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """What the cache holds now."""
        return self._held_bytes

    async def get(self, key: str) -> bytes:
        """Read a small object; raises as `ObjectStore.get`."""
        data = self._held.get(key)
        if data is not None:
            _HITS.inc()
            self._held.move_to_end(key)
            return data
        _MISSES.inc()
        data = await self._objects.get(key)
        self._keep(key, data)
        return data

    def _keep(self, key: str, data: bytes) -> None:
        # Somebody else may have read it meanwhile.
        if key in self._held or len(data) > self._limit_bytes:
            return
        self._held[key] = data
        self._held_bytes += len(data)
        while self._held_bytes > self._limit_bytes:
            _, oldest = self._held.popitem(last=False)
            self._held_bytes -= len(oldest)
        _HELD.set(self._held_bytes)

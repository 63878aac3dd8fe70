"""What was read lately, kept while it fits."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from lanthorn_core.telemetry.metrics import CACHE_BYTES, count_look_ups

Value = TypeVar("Value")

_CACHE: Final = "opened_objects"


class ByteBoundedCache(Generic[Value]):
    """Least recently used values, at most so many bytes of them.

    Objects are immutable under their keys, so nothing here ever becomes stale.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._hits, self._misses = count_look_ups(_CACHE)
        self._held = CACHE_BYTES.labels(_CACHE)
        self._held_bytes = 0
        self._entries: OrderedDict[tuple[str, ...], tuple[Value, int]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._held_bytes

    def get(self, *key: str) -> Value | None:
        """Return what is kept under this key, and keep it longer."""
        entry = self._entries.get(key)
        if entry is None:
            self._misses.inc()
            return None
        self._hits.inc()
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, value: Value, size_bytes: int, *key: str) -> None:
        """Keep a value, unless it alone would take more than a quarter of the room."""
        if size_bytes > self._limit_bytes // 4:
            return
        previous = self._entries.pop(key, None)
        if previous is not None:
            self._held_bytes -= previous[1]
        self._entries[key] = (value, size_bytes)
        self._held_bytes += size_bytes
        while self._held_bytes > self._limit_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self._held_bytes -= freed
        self._held.set(self._held_bytes)

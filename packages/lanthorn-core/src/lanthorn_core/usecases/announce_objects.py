"""Announce objects of the store again: the verb behind the sweep and `lanthorn reindex`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from lanthorn_core.events import InstanceStored
from lanthorn_core.model import ObjectInfo, Origin
from lanthorn_core.ports.bus import EventPublisher
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.receipts import (
    OBJECTS_PREFIX,
    hour_prefix,
    new_receipt_id,
    receipt_of,
    received_at,
)

BATCH_KEYS: Final = 500
HOUR_S: Final = 3600

Choose = Callable[[list[str]], Awaitable[Sequence[str]]]


async def announce_objects(
    objects: ObjectStore,
    publisher: EventPublisher,
    *,
    choose: Choose,
    since_s: float | None = None,
    until_s: float,
    reindex: bool = False,
) -> int:
    """Publish events for stored objects, oldest first.

    Parameters
    ----------
    choose : callable
        Gets a batch of keys, returns those that are to be announced.
    since_s, until_s : float
        Only what was received then, in seconds since epoch; without `since_s` from the first.
    reindex : bool
        Whether the indexer shall read again what it knows already.

    Returns
    -------
    int
        How many objects were announced. Objects under keys that are not ours are passed over.
    """
    announced = 0
    batch: dict[str, ObjectInfo] = {}

    async def flush() -> int:
        chosen = await choose(list(batch))
        for key in chosen:
            await publisher.publish(_event(batch[key], reindex=reindex), message_id=_message_id())
        batch.clear()
        return len(chosen)

    for prefix in _prefixes(since_s, until_s):
        async for info in objects.list(prefix):
            moment = _moment(info.key)
            if moment is None or moment > until_s:
                continue
            batch[info.key] = info
            if len(batch) >= BATCH_KEYS:
                announced += await flush()
    if batch:
        announced += await flush()
    return announced


def _prefixes(since_s: float | None, until_s: float) -> list[str]:
    if since_s is None:
        return [OBJECTS_PREFIX]
    first = int(since_s // HOUR_S)
    return [hour_prefix(hour * HOUR_S) for hour in range(first, int(until_s // HOUR_S) + 1)]


def _moment(key: str) -> float | None:
    try:
        return received_at(receipt_of(key))
    except ValueError:
        return None


def _message_id() -> str:
    # Never the key: this event must get through beside the one that was lost or failed.
    return f"announce/{new_receipt_id()}"


def _event(info: ObjectInfo, *, reindex: bool) -> InstanceStored:
    return InstanceStored(
        object_key=info.key,
        size_bytes=info.size_bytes,
        sha256="",
        transfer_syntax_uid="",
        received_at=received_at(receipt_of(info.key)),
        origin=Origin(),
        reindex=reindex,
    )

"""The writing side of the index: one holder of the lock at a time, one transaction a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.events import DeleteResources, InstanceStored
from lanthorn_core.model import Level
from lanthorn_core.ports.bus import StreamPosition


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """All that the index keeps of one stored instance.

    `main_tags` and `metadata` map keywords or names to texts, for each of the four levels.
    """

    event: InstanceStored
    public_ids: PublicIds
    main_tags: Mapping[Level, Mapping[str, str]]
    metadata: Mapping[Level, Mapping[str, str]]
    sop_class_uid: str
    index_in_series: int | None
    expected_number_of_instances: int | None
    number_of_frames: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the index and the sweep have come; `swept_until` in seconds since epoch."""

    position: StreamPosition
    swept_until: float | None


class IndexWriter(Protocol):
    """Held by the active indexer. Raises `IndexUnavailable` when the database does not answer.

    Losing the database connection is losing the lock: the transaction under way is undone, and
    another indexer may take over.
    """

    async def apply(
        self,
        entries: Sequence[InstanceEntry | DeleteResources],
        position: StreamPosition | None = None,
    ) -> bool:
        """Apply a batch in order and record `position` in the same transaction.

        True says that each entry stored an instance that was not known; False says nothing.
        Raises whatever makes the batch impossible as a whole; then nothing of it is applied.
        """
        ...

    async def progress(self) -> Progress:
        """Tell how far the index has come."""
        ...

    async def restart_at(self, position: StreamPosition) -> None:
        """Set the progress by hand: the stream is another one, or lost its newest events."""
        ...

    async def stabilise(self, stable_age_s: float) -> int:
        """Mark as stable, and log so, what received nothing for `stable_age_s`."""
        ...

    async def recycle(self, *, max_bytes: int, max_patients: int) -> int:
        """Delete the oldest unprotected patients until the limits hold; 0 means no limit."""
        ...

    async def garbage(self, *, at_most: int, older_than_s: float) -> list[str]:
        """Keys of objects that were discarded so long ago and may be removed from the store."""
        ...

    async def postpone_garbage(self, keys: Sequence[str], *, by_s: float) -> None:
        """Try again in `by_s` what the store does not let go now."""
        ...

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """Strike objects that are gone from the list."""
        ...

    async def unknown_keys(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that neither an instance nor the garbage list knows."""
        ...

    async def swept(self, until_s: float) -> None:
        """Everything received before `until_s` (seconds since epoch) was swept."""
        ...

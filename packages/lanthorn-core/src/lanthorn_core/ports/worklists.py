"""Where worklist items are kept: a folder of files, or the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """A worklist item that is kept.

    `revision` changes with the content. `created_at` is None where nobody recorded it.
    """

    worklist_id: str
    revision: str
    created_at: datetime | None = None


class WorklistStore(Protocol):
    """DICOM files by id, as few as a hospital schedules.

    Raises `StorageUnavailable` (folder) or `IndexUnavailable` (database) when it does not answer.
    """

    async def entries(self) -> Sequence[WorklistEntry]:
        """List all items in the order of their ids, as they are at this moment."""
        ...

    async def read(self, worklist_id: str) -> bytes:
        """Read the file of an item.

        Raises `UnknownResource` where there is none, `InvalidDataset` where it is too large.
        """
        ...

    async def write(self, worklist_id: str, file: bytes) -> None:
        """Add or replace an item; readers see the old file or the new one, never a part."""
        ...

    async def delete(self, worklist_id: str) -> bool:
        """Remove an item; False when there is none."""
        ...

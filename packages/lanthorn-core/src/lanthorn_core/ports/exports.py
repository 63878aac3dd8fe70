"""The log of what was sent to remote AEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lanthorn_core.model import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedResource:
    """A resource that was sent, with its identifiers as the log keeps them."""

    modality: str
    level: Level
    public_id: str
    patient_id: str
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(ExportedResource):
    """One entry of the log."""

    sequence: int
    recorded_at: datetime


class ExportLog(Protocol):
    """The log, numbered without end. Raises `IndexUnavailable` throughout."""

    async def record(self, resources: Sequence[ExportedResource]) -> None:
        """Write resources into the log, in this order."""
        ...

    async def page(self, *, since: int, limit: int) -> Sequence[Export]:
        """Return at most `limit` entries after number `since`."""
        ...

    async def last(self) -> Export | None:
        """Return the newest entry."""
        ...

    async def clear(self) -> None:
        """Empty the log; its numbers go on."""
        ...

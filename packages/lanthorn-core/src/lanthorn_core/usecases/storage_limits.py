"""`MaximumStorageSize` and `MaximumPatientCount` in the mode `Reject`: refuse what is new.

The limits hold for what is indexed. Counts are read once a second, and what this process let in
since is added to them; only where that reaches a limit, the index is asked again, behind the
barrier. Several processes may together pass a limit by what they receive within that second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.errors import IndexUnavailable, StorageFull
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Statistics

log = structlog.get_logger(__name__)

COUNTS_HOLD_S: Final = 1.0


class IndexCounts(Protocol):
    """What the limits need of `IndexReader`."""

    async def wait_until_current(self) -> bool:
        """Wait at the index barrier."""
        ...

    async def statistics(self) -> Statistics:
        """Tell the counts of the whole server."""
        ...

    async def level_of(self, public_id: str) -> Level | None:
        """At which level there is a resource of this id."""
        ...


@dataclass(eq=False, slots=True)
class _Admitted:
    patient: str
    size_bytes: int
    in_hand: bool = True


class StorageLimits:
    """Decide whether there is room for an instance; one for each process.

    Parameters
    ----------
    index : IndexCounts
        An index reader.
    max_bytes : int
        Bytes that all objects may take together; 0 is no limit.
    max_patients : int
        How many patients there may be; 0 is no limit.
    """

    def __init__(self, index: IndexCounts, *, max_bytes: int, max_patients: int) -> None:
        self._index = index
        self._max_bytes = max_bytes
        self._max_patients = max_patients
        self._counts = Statistics(0, 0, 0, 0, 0)
        self._counts_hold_until = self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._admitted: list[_Admitted] = []
        self._admitted_bytes = 0
        self._admitted_patients: set[str] = set()

    @asynccontextmanager
    async def room_for(self, ids: PublicIds, size_bytes: int) -> AsyncIterator[None]:
        """Hold room for an instance for the length of the block, at whose end it is announced.

        At the limit of patients, those that are known may have further instances; at the limit of
        bytes, what is there already may come again, because nothing of it will stay.

        Raises
        ------
        StorageFull
            There is no room.
        IndexUnavailable
            There may be none, and the index does not tell. It is not needed otherwise: storing
            goes on without it.
        """
        await self._require_room(ids, size_bytes)
        mine = _Admitted(ids.patient, size_bytes)
        self._admitted.append(mine)
        self._admitted_bytes += size_bytes
        self._admitted_patients.add(ids.patient)
        try:
            yield
        finally:
            mine.in_hand = False

    async def _require_room(self, ids: PublicIds, size_bytes: int) -> None:
        if time.monotonic() >= self._counts_hold_until:
            await self._renew_counts()
        if self._reached(ids, size_bytes) is None or await self._is_there(ids, size_bytes):
            return
        arrived_at = time.monotonic()
        async with self._asking:
            if self._asked_at < arrived_at:  # else somebody asked meanwhile
                await self._ask()
            reached = self._reached(ids, size_bytes)
            if reached is not None and not await self._is_there(ids, size_bytes):
                raise StorageFull(reached)

    def _reached(self, ids: PublicIds, size_bytes: int) -> str | None:
        """Name the limit that an instance would pass, by Orthanc's words for it."""
        if self._exceeds_size(size_bytes):
            return "Maximum storage size reached"
        patients = self._counts.patients + len(self._admitted_patients)
        is_new = ids.patient not in self._admitted_patients
        if self._max_patients and is_new and patients >= self._max_patients:
            return "Maximum patient count reached"
        return None

    def _exceeds_size(self, size_bytes: int) -> bool:
        total = self._counts.size_bytes + self._admitted_bytes + size_bytes
        return self._max_bytes > 0 and total > self._max_bytes

    async def _is_there(self, ids: PublicIds, size_bytes: int) -> bool:
        needed = ids.instance if self._exceeds_size(size_bytes) else ids.patient
        return await self._index.level_of(needed) is not None

    async def _renew_counts(self) -> None:
        async with self._asking:
            if time.monotonic() < self._counts_hold_until:
                return
            try:
                async with asyncio.timeout(COUNTS_HOLD_S):
                    await self._read_counts(self._announced())
            except (IndexUnavailable, TimeoutError):
                log.warning("storage_limits_not_renewed")
                self._counts_hold_until = time.monotonic() + COUNTS_HOLD_S

    async def _ask(self) -> None:
        """Count everything that was announced until now, and of the rest what is new."""
        self._asked_at = time.monotonic()
        announced = self._announced()
        await self._index.wait_until_current()
        await self._read_counts(announced)
        if self._max_patients:
            for patient in list(self._admitted_patients):
                if await self._index.level_of(patient) is not None:
                    self._admitted_patients.discard(patient)

    def _announced(self) -> set[_Admitted]:
        return {one for one in self._admitted if not one.in_hand}

    async def _read_counts(self, counted: set[_Admitted]) -> None:
        self._counts = await self._index.statistics()
        self._counts_hold_until = time.monotonic() + COUNTS_HOLD_S
        self._admitted = [one for one in self._admitted if one not in counted]
        self._admitted_bytes = sum(one.size_bytes for one in self._admitted)
        self._admitted_patients = {one.patient for one in self._admitted}

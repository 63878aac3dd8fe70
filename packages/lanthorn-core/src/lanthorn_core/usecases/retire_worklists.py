"""Remove worklist items when their time is over: the study has arrived, or they are old.

Only items that were made here: what another program put into a folder is that program's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.errors import TransientError, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader
from lanthorn_core.usecases.worklists import Worklist, Worklists

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 500
_STUDY_INSTANCE_UID: Final = 0x0020_000D


@dataclass(frozen=True, slots=True)
class RetireWorklists:
    """Remove worklist items that are done.

    Attributes
    ----------
    worklists : Worklists
        All items.
    reader : IndexReader
        Knows which studies are stable.
    on_stable_study : bool
        `DeleteWorklistsOnStableStudy`: remove items whose study has arrived and is stable.
    after_h : int
        `DeleteWorklistsDelay`: remove items of this age in hours; 0 keeps them.
    """

    worklists: Worklists
    reader: IndexReader
    on_stable_study: bool
    after_h: int

    async def forever(self, interval_s: float) -> None:
        """Look after them every `interval_s` seconds; a failure of the moment is tried again."""
        while True:
            try:
                await self()
            except TransientError as error:
                log.warning("worklists_not_retired", error=error.slug)
            await asyncio.sleep(interval_s)

    async def __call__(self) -> int:
        """Remove what is done; returns how many items that were.

        Several processes may do this at once.
        """
        ours = [worklist async for worklist in self.worklists.all() if worklist.is_ours]
        done = self._old(ours)
        if self.on_stable_study:
            for start in range(0, len(ours), _AT_ONCE):
                done |= await self._arrived(ours[start : start + _AT_ONCE])
        removed = 0
        for worklist_id in sorted(done):
            try:
                await self.worklists.delete(worklist_id)
            except UnknownResource:  # another process was quicker
                continue
            removed += 1
        if removed:
            log.info("worklists_retired", count=removed)
        return removed

    def _old(self, worklists: Sequence[Worklist]) -> set[str]:
        if not self.after_h:
            return set()
        limit = datetime.now(UTC) - timedelta(hours=self.after_h)
        return {
            worklist.entry.worklist_id
            for worklist in worklists
            if worklist.entry.created_at is not None and worklist.entry.created_at < limit
        }

    async def _arrived(self, worklists: Sequence[Worklist]) -> set[str]:
        uids = tuple({worklist.study_instance_uid for worklist in worklists} - {""})
        if not uids:
            return set()
        key = MatchingKey(_STUDY_INSTANCE_UID, "StudyInstanceUID", "single", uids)
        studies = await self.reader.find(FindQuery(level=Level.STUDY, keys=[key]))
        stable = {study.main_tags["StudyInstanceUID"] for study in studies if study.is_stable}
        return {
            worklist.entry.worklist_id
            for worklist in worklists
            if worklist.study_instance_uid in stable
        }

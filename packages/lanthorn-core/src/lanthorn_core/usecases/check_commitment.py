"""Check what we may commit to: instances that the index has and whose objects are there.

References
----------
DICOM PS3.4 Section J.3.3 (the SCP's part), PS3.3 Section C.14.1.1 (failure reasons).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pydicom.datadict import tag_for_keyword

from lanthorn_core.dicom.commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    CommitmentFailure,
    SopReference,
)
from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader, Resource
from lanthorn_core.ports.object_store import ObjectStore

AT_ONCE: Final = 500
"""References in one question to the index."""

_SOP_INSTANCE_UID: Final = tag_for_keyword("SOPInstanceUID") or 0

Progress = Callable[[float], Awaitable[None]]
"""Told the part of the work that is done, from 0 to 1."""


class CheckCommitment:
    """Tell which instances are safe here.

    Parameters
    ----------
    reader : IndexReader
        Knows the instances; what was acknowledged before a check begins counts.
    objects : ObjectStore
        Must hold their objects, whole.
    """

    def __init__(self, reader: IndexReader, objects: ObjectStore) -> None:
        self._reader = reader
        self._objects = objects

    async def __call__(
        self, references: Sequence[SopReference], *, progress: Progress | None = None
    ) -> tuple[list[SopReference], list[CommitmentFailure]]:
        """Check references in their order.

        Returns
        -------
        committed, failures
            Every reference is in one of the two; one that is given twice counts twice.

        Raises
        ------
        IndexUnavailable, StorageUnavailable
            Nothing can be said now.
        """
        await self._reader.wait_until_current()
        committed: list[SopReference] = []
        failures: list[CommitmentFailure] = []
        for start in range(0, len(references), AT_ONCE):
            batch = references[start : start + AT_ONCE]
            stored = await self._stored(batch)
            for reference in batch:
                reason = await self._reason(reference, stored.get(reference.sop_instance_uid, []))
                if reason is None:
                    committed.append(reference)
                else:
                    failures.append(CommitmentFailure(reference, reason))
            if progress is not None:
                await progress(min(1.0, (start + AT_ONCE) / len(references)))
        return committed, failures

    async def _stored(self, references: Sequence[SopReference]) -> dict[str, list[Resource]]:
        uids = tuple(dict.fromkeys(reference.sop_instance_uid for reference in references))
        key = MatchingKey(_SOP_INSTANCE_UID, "SOPInstanceUID", "single", uids)
        found: dict[str, list[Resource]] = {}
        for resource in await self._reader.find(FindQuery(level=Level.INSTANCE, keys=[key])):
            found.setdefault(resource.main_tags["SOPInstanceUID"], []).append(resource)
        return found

    async def _reason(self, reference: SopReference, stored: Sequence[Resource]) -> int | None:
        """Tell why an instance is not committed; None when it is."""
        if not stored:
            return NO_SUCH_OBJECT_INSTANCE
        # One UID may be in two studies of careless senders: one good copy is enough.
        of_class = [
            resource
            for resource in stored
            if resource.metadata.get("SopClassUid") == reference.sop_class_uid
        ]
        if not of_class:
            return CLASS_INSTANCE_CONFLICT
        for resource in of_class:
            try:
                info = await self._objects.stat(resource.object_key)
            except UnknownResource:
                continue
            if info.size_bytes == resource.size_bytes:
                return None
        return PROCESSING_FAILURE

"""Find resources: the one search behind C-FIND, QIDO-RS and `/tools/find`.

What the index knows, the index decides. Attributes that it does not keep are looked up in a file:
of each resource that is left, the first instance is read and its values are matched in memory.
Where files shall not be read, nothing matches a constraint on such an attribute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from pydicom import Dataset

from lanthorn_core.dicom.matching import COMPUTED_TAGS, MatchingKey, is_indexed, matches
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader, Resource
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.instance_header import read_header, select_elements

FILES_AT_ONCE: Final = 8


class FindResources:
    """Answer queries whose keys may be any attribute.

    Parameters
    ----------
    reader : IndexReader
        Answers what is indexed.
    objects : ObjectStore
        Holds the files for what is not.
    default_encoding : str
        Orthanc's `DefaultEncoding`, for data sets that name no character set.
    reads_files : bool
        Whether files may be read, as Orthanc's `StorageAccessOnFind` has it.
    """

    def __init__(
        self,
        reader: IndexReader,
        objects: ObjectStore,
        default_encoding: str = "Latin1",
        *,
        reads_files: bool = True,
    ) -> None:
        self._reader = reader
        self._objects = objects
        self._default_encoding = default_encoding
        self._reads_files = reads_files

    async def ids(self, query: FindQuery) -> list[str]:
        """Public ids of what matches, in the query's order and window."""
        indexed, others = _split(query)
        if not others:
            return await self._reader.find_ids(indexed)
        end = query.since + query.limit if query.limit else None
        found: list[str] = []
        async for public_id in self._filtered(indexed, others):
            found.append(public_id)
            if len(found) == end:
                break
        return found[query.since :]

    async def resources(self, query: FindQuery) -> list[Resource]:
        """Resources that match, in the query's order and window."""
        indexed, others = _split(query)
        if not others:
            return await self._reader.find(indexed)
        return await self._reader.resources(query.level, await self.ids(query))

    async def count(self, query: FindQuery) -> int:
        """How many match, the window ignored."""
        indexed, others = _split(query)
        if not others:
            return await self._reader.count(indexed)
        return len(await self.ids(replace(query, since=0, limit=0)))

    async def _filtered(
        self, indexed: FindQuery, keys: Sequence[MatchingKey]
    ) -> AsyncIterator[str]:
        computed = COMPUTED_TAGS[indexed.level]
        if not self._reads_files and any(key.keyword not in computed for key in keys):
            return
        candidates = await self._reader.find_ids(replace(indexed, since=0, limit=0))
        for start in range(0, len(candidates), FILES_AT_ONCE):
            batch = candidates[start : start + FILES_AT_ONCE]
            answers = await asyncio.gather(
                *(self._matches(indexed.level, public_id, keys) for public_id in batch)
            )
            for public_id, is_match in zip(batch, answers, strict=True):
                if is_match:
                    yield public_id

    async def _matches(self, level: Level, public_id: str, keys: Sequence[MatchingKey]) -> bool:
        computed = [key for key in keys if key.keyword in COMPUTED_TAGS[level]]
        if computed:
            keywords = [key.keyword for key in computed]
            values = (await self._reader.computed_tags(level, [public_id], keywords))[public_id]
            if not all(matches(key, values.get(key.keyword)) for key in computed):
                return False
        others = [key for key in keys if key not in computed]
        if not others:
            return True
        instances = await self._reader.instances(level, public_id)
        if not instances:  # deleted since the index was asked
            return False
        try:
            header = await read_header(self._objects, instances[0])
        except (InvalidDataset, UnknownResource):
            return False
        texts = texts_of(header, [key.tag for key in others], self._default_encoding)
        return all(matches(key, texts.get(key.tag)) for key in others)


def texts_of(dataset: Dataset, tags: Sequence[int], default_encoding: str) -> dict[int, str]:
    """Read attributes as texts; sequences and binary values have none and are left out."""
    wanted = select_elements(dataset, tags)
    values = to_orthanc_json(wanted, style="short", default_encoding=default_encoding)
    texts = ((tag, values.get(format_tag(tag))) for tag in tags)
    return {tag: text for tag, text in texts if isinstance(text, str)}


def _split(query: FindQuery) -> tuple[FindQuery, list[MatchingKey]]:
    """Take the keys out of a query that the index cannot answer."""
    others = [
        key for key in query.keys if key.kind != "universal" and not is_indexed(key, query.level)
    ]
    if not others:
        return query, []
    return replace(query, keys=[key for key in query.keys if key not in others]), others

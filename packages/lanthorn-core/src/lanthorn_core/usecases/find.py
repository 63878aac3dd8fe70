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

from lanthorn_core.dicom.dataset_matching import DatasetKeys, matches_dataset
from lanthorn_core.dicom.matching import COMPUTED_TAGS, MatchingKey, is_indexed, matches
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader, Resource, StoredInstance
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
        if not others and query.items is None:
            return await self._reader.find_ids(indexed)
        end = query.since + query.limit if query.limit else None
        found: list[str] = []
        async for batch in self.in_batches(query):
            found += batch
            if end is not None and len(found) >= end:
                break
        return found[query.since : end]

    async def resources(self, query: FindQuery) -> list[Resource]:
        """Resources that match, in the query's order and window."""
        indexed, others = _split(query)
        if not others and query.items is None:
            return await self._reader.find(indexed)
        return await self._reader.resources(query.level, await self.ids(query))

    async def count(self, query: FindQuery) -> int:
        """How many match, the window ignored."""
        indexed, others = _split(query)
        if not others and query.items is None:
            return await self._reader.count(indexed)
        return len(await self.ids(replace(query, since=0, limit=0)))

    async def in_batches(self, query: FindQuery) -> AsyncIterator[list[str]]:
        """Public ids of what matches in the query's order, as soon as it is known to match.

        A batch may be empty: it says that some more files were read. The query's window is
        ignored.
        """
        indexed, others = _split(query)
        candidates = await self._reader.find_ids(replace(indexed, since=0, limit=0))
        computed = [key for key in others if key.keyword in COMPUTED_TAGS[query.level]]
        in_files = [key for key in others if key not in computed]
        needs_files = bool(in_files) or query.items is not None
        if needs_files and not self._reads_files:
            return
        for start in range(0, len(candidates), FILES_AT_ONCE):
            batch = candidates[start : start + FILES_AT_ONCE]
            if computed:
                batch = await self._filter_computed(query.level, batch, computed)
            if needs_files and batch:
                batch = await self._filter_by_files(query.level, batch, in_files, query.items)
            yield batch

    async def _filter_computed(
        self, level: Level, public_ids: Sequence[str], keys: Sequence[MatchingKey]
    ) -> list[str]:
        keywords = [key.keyword for key in keys]
        values = await self._reader.computed_tags(level, public_ids, keywords)
        return [
            public_id
            for public_id in public_ids
            if all(matches(key, values[public_id].get(key.keyword)) for key in keys)
        ]

    async def _filter_by_files(
        self,
        level: Level,
        public_ids: Sequence[str],
        keys: Sequence[MatchingKey],
        items: DatasetKeys | None,
    ) -> list[str]:
        first = await self._reader.first_instances(level, public_ids)
        # What was deleted since the index was asked has no first instance.
        left = [public_id for public_id in public_ids if public_id in first]
        answers = await asyncio.gather(
            *(self._file_matches(first[public_id], keys, items) for public_id in left)
        )
        return [public_id for public_id, found in zip(left, answers, strict=True) if found]

    async def _file_matches(
        self, instance: StoredInstance, keys: Sequence[MatchingKey], items: DatasetKeys | None
    ) -> bool:
        try:
            header = await read_header(self._objects, instance)
        except (InvalidDataset, UnknownResource):
            return False
        texts = texts_of(header, [key.tag for key in keys], self._default_encoding)
        if not all(matches(key, texts.get(key.tag)) for key in keys):
            return False
        return items is None or matches_dataset(
            items, header, default_encoding=self._default_encoding
        )


def texts_of(dataset: Dataset, tags: Sequence[int], default_encoding: str) -> dict[int, str]:
    """Read attributes as texts; sequences and binary values have none and are left out."""
    wanted = select_elements(dataset, tags)
    values = to_orthanc_json(wanted, style="short", default_encoding=default_encoding)
    texts = ((tag, values.get(format_tag(tag))) for tag in tags)
    return {tag: text for tag, text in texts if isinstance(text, str)}


def needs_filter(query: FindQuery) -> bool:
    """Tell whether a query has keys that the index cannot answer."""
    return query.items is not None or bool(_split(query)[1])


def _split(query: FindQuery) -> tuple[FindQuery, list[MatchingKey]]:
    """Take the keys out of a query that the index cannot answer."""
    others = [
        key for key in query.keys if key.kind != "universal" and not is_indexed(key, query.level)
    ]
    if not others:
        return query, []
    return replace(query, keys=[key for key in query.keys if key not in others]), others

"""Answers to C-FIND: the texts of the attributes asked for, page by page, and what files add.

A search that the index answers alone is one statement behind the index barrier. Attributes that
it does not keep are read from the first instance of each resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence as Items

from lanthorn_core.dicom.dataset_answer import converted, whole_item
from lanthorn_core.dicom.dataset_matching import items_of_sequence
from lanthorn_core.dicom.elementcontext import context_of, creator_of, vr_of_element
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader, StoredInstance, TextPage
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.find import FindResources, needs_filter
from lanthorn_core.usecases.instance_header import read_header


class FindAnswers:
    """Answer a query with rows of texts, and with elements of files.

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
        default_encoding: str,
        *,
        reads_files: bool = True,
    ) -> None:
        self._reader = reader
        self._objects = objects
        self._default_encoding = default_encoding
        self._find = FindResources(reader, objects, default_encoding, reads_files=reads_files)
        self.reads_files: Final = reads_files

    async def pages(
        self, query: FindQuery, keywords: tuple[str, ...]
    ) -> AsyncGenerator[Sequence[Any], None]:
        """Find texts, page by page: rows as in `TextPage`.

        While files are searched pages may be empty, so that the caller may think again.

        The answers show all that was acknowledged before the first page was asked for, and come in
        the order of arrival. The query's window is ignored.

        Raises
        ------
        IndexUnavailable
            The database does not answer.
        """
        if needs_filter(query):
            await self._reader.wait_until_current()
            async for batch in self._find.in_batches(query):
                yield (await self._of_these(query.level, batch, keywords)).rows if batch else ()
            return
        page, _ = await self._reader.read_current(lambda: self._reader.find_texts(query, keywords))
        yield page.rows
        while not page.is_last:
            page = await self._reader.find_texts(query, keywords, after=page.rows[-1][0])
            yield page.rows

    async def _of_these(
        self, level: Level, public_ids: Sequence[str], keywords: tuple[str, ...]
    ) -> TextPage:
        query = FindQuery(level=level, public_ids=tuple(public_ids))
        return await self._reader.find_texts(query, keywords)

    async def elements(
        self, level: Level, public_ids: Sequence[str], tags: Sequence[int]
    ) -> list[Dataset]:
        """Read attributes from the first instance of each of some resources.

        Returns
        -------
        list of pydicom.Dataset
            For each resource what was found of `tags`, texts as Unicode; empty where the file is
            not there or cannot be read.
        """
        first = await self._reader.first_instances(level, public_ids)
        return await asyncio.gather(
            *(self._elements_of(first.get(public_id), tags) for public_id in public_ids)
        )

    async def _elements_of(self, instance: StoredInstance | None, tags: Sequence[int]) -> Dataset:
        found = Dataset()
        if instance is None:
            return found
        try:
            header = await read_header(self._objects, instance)
        except (InvalidDataset, UnknownResource):
            return found
        context = context_of(header, None, self._default_encoding)
        for tag in tags:
            if tag not in header:
                continue
            element = header.get_item(tag, keep_deferred=True)
            if vr_of_element(element, creator_of(tag, context), context) == "SQ":
                items = [
                    whole_item(item, context, self._default_encoding)
                    for item in items_of_sequence(header, tag)
                ]
                found.add(DataElement(tag, "SQ", Items(items)))
            elif (readable := converted(header, tag, context)) is not None:
                found.add(readable)
        return found

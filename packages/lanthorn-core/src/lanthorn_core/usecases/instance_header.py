"""Read what stands in an instance's file before its pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from pydicom import Dataset
from pydicom.dataset import FileDataset

from lanthorn_core.dicom.part10 import read_dataset
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.object_store import ObjectStore

PARSE_IN_THREAD_BYTES: Final = 1 << 18
"""A larger header would hold up the event loop for more than some milliseconds."""

_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005


async def read_header(objects: ObjectStore, instance: StoredInstance) -> FileDataset:
    """Read the file meta information and the data set before Pixel Data (7fe0,0010).

    Raises
    ------
    InvalidDataset
        The object is broken.
    StorageUnavailable, UnknownResource
        As `ObjectStore.get`.
    """
    # Where pixels begin, a data set may as well end: nothing of them needs to be read.
    data = await objects.get(instance.object_key, length=instance.pixel_data_offset)
    if len(data) > PARSE_IN_THREAD_BYTES:
        return await asyncio.to_thread(read_dataset, data)
    return read_dataset(data)


def select_elements(dataset: Dataset, tags: Iterable[int]) -> Dataset:
    """Take some elements of a data set, with what is needed to read and name them.

    That is Specific Character Set (0008,0005), and the private creator of each private element
    (PS3.5 Section 7.8.1).
    """
    wanted = {_SPECIFIC_CHARACTER_SET}
    for tag in tags:
        wanted.add(tag)
        if tag >> 16 & 1:
            wanted.add(tag & 0xFFFF_0000 | tag >> 8 & 0xFF)
    selected = Dataset()
    for tag in wanted:
        if tag in dataset:
            selected[tag] = dataset.get_item(tag)
    return selected

"""Rows of texts from the index: what C-FIND reads, behind the index barrier."""

from __future__ import annotations

import asyncio
from typing import Any

from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.dicom.matching import COMPUTED_TAGS, is_text_indexed
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import PUBLIC_ID, FindQuery, TextPage
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.index import MakeSystem, System


async def test_a_read_begun_while_the_index_is_behind_is_made_again(
    make_system: MakeSystem,
) -> None:
    system = await make_system()
    async with system.indexer():
        await system.store(ct_file(PatientID="P1"))
        assert await system.reader.wait_until_current()
    assert await system.reader.wait_until_current()  # nothing came: the next read need not wait
    await system.store(ct_file(PatientID="P2"))
    reads: list[list[str]] = []
    has_read = asyncio.Event()

    async def read() -> TextPage:
        page = await system.reader.find_texts(FindQuery(level=Level.PATIENT), ("PatientID",))
        reads.append([row[1] for row in page.rows])
        has_read.set()
        return page

    reading = asyncio.ensure_future(system.reader.read_current(read))
    await has_read.wait()
    async with system.indexer():
        page, is_current = await reading
    assert is_current
    assert reads == [["P1"], ["P1", "P2"]]
    assert [row[1] for row in page.rows] == ["P1", "P2"]


async def test_a_read_of_an_idle_index_is_made_once(system: System) -> None:
    await system.store(ct_file())
    assert await system.reader.wait_until_current()
    reads = 0

    async def read() -> int:
        nonlocal reads
        reads += 1
        return reads

    assert await system.reader.read_current(read) == (1, True)


async def test_every_attribute_that_is_said_to_be_indexed_can_be_read_and_is_right(
    system: System,
) -> None:
    known: dict[str, Any] = {"PatientID": "P1", "StudyID": "S", "Modality": "CT"}
    await system.store(ct_file(**known))
    assert await system.reader.wait_until_current()
    named = {main.keyword for tags in MAIN_TAGS.values() for main in tags}
    named |= {keyword for keywords in COMPUTED_TAGS.values() for keyword in keywords}
    for level in LEVELS:
        keywords = [keyword for keyword in sorted(named) if is_text_indexed(keyword, level)]
        page = await system.reader.find_texts(FindQuery(level=level), (PUBLIC_ID, *keywords))
        assert page.is_last
        (row,) = page.rows
        texts = dict(zip(keywords, row[2:], strict=True))
        assert texts["PatientID"] == "P1"
        assert texts["NumberOfPatientRelatedInstances"] == "1"
        if level is not Level.PATIENT:
            assert texts["StudyID"] == "S"
            assert texts["ModalitiesInStudy"] == "CT"
        found = await system.reader.first_instances(level, [row[1], "nowhere"])
        assert set(found) == {row[1]}

"""What a batch makes of the index: one statement where all is new, and several where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from pydicom.uid import generate_uid

from lanthorn_core import wiring
from lanthorn_core.dicom.part10 import scan_file
from lanthorn_core.events import DeleteResources, InstanceStored
from lanthorn_core.model import LEVELS, Level, Origin
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.ports.index import IndexReader, Statistics
from lanthorn_core.ports.index_writer import IndexWriter, InstanceEntry
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from lanthorn_indexer.extract import ExtractionRules, extract
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.index import MakeSystem, System

SIZE_BYTES = 100


@pytest.fixture
async def system(make_system: MakeSystem) -> System:
    """Nothing runs here but what a test calls."""
    return await make_system()


@pytest.fixture
async def writer(system: System) -> AsyncIterator[IndexWriter]:
    async with wiring.open_index_writer(system.settings) as writer:
        yield writer


async def entry_of(system: System, data: bytes) -> InstanceEntry:
    """Read what the indexer would read of a file that was stored just now."""
    meta, header = scan_file(data)
    event = InstanceStored(
        object_key=object_key(new_receipt_id()),
        size_bytes=SIZE_BYTES,
        sha256="",
        transfer_syntax_uid=meta.transfer_syntax_uid,
        received_at=1.0,
        origin=Origin(),
        header=header.encoded,
    )
    return await extract(event, system.objects, ExtractionRules())


async def entries_of_two_patients(system: System) -> list[InstanceEntry]:
    """Make three studies of two series of two instances, in an order that mixes them."""
    datasets = []
    for patient in ("one", "one", "two"):
        study = generate_uid()
        for _ in range(2):
            series = make_ct(PatientID=patient, StudyInstanceUID=study, CardiacNumberOfImages=2)
            for number in (1, 2):
                series.SOPInstanceUID = generate_uid()
                series.InstanceNumber = number
                datasets.append(as_file(series))
    return [await entry_of(system, datasets[place * 5 % 12]) for place in range(12)]


def expected_changes(entries: Sequence[InstanceEntry]) -> list[tuple[str, str]]:
    """Tell in Orthanc's order what comes into being."""
    changes: list[tuple[str, str]] = []
    for entry in entries:
        for level in reversed(LEVELS):
            change = (f"New{level}", entry.public_ids[level.depth])
            if change not in changes:
                changes.append(change)
    return changes


async def apply(
    writer: IndexWriter, entries: Sequence[InstanceEntry | DeleteResources], sequence: int = 1
) -> bool:
    return await writer.apply(entries, StreamPosition("epoch", sequence))


async def counts(reader: IndexReader, level: Level, public_id: str) -> Statistics:
    found = await reader.resource_statistics(level, public_id)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [1, 5, 12])
async def test_batches_of_any_size_lead_to_the_same_index(
    system: System, writer: IndexWriter, size: int
) -> None:
    entries = await entries_of_two_patients(system)
    for first in range(0, 12, size):
        assert await apply(writer, entries[first : first + size], first + size)
    reader = system.reader
    assert await reader.statistics() == Statistics(2, 3, 6, 12, 12 * SIZE_BYTES)
    patients = {entry.public_ids.patient for entry in entries}
    studies = [(await counts(reader, Level.PATIENT, patient)).studies for patient in patients]
    assert sorted(studies) == [1, 2]
    for entry in entries:
        of_study = await counts(reader, Level.STUDY, entry.public_ids.study)
        assert of_study == Statistics(1, 1, 2, 4, 4 * SIZE_BYTES)
        of_series = await counts(reader, Level.SERIES, entry.public_ids.series)
        assert of_series == Statistics(1, 1, 1, 2, 2 * SIZE_BYTES)
        for level in LEVELS[1:]:
            resource = await reader.resource(level, entry.public_ids[level.depth])
            assert resource is not None
            assert resource.parent_id == entry.public_ids[level.depth - 1]
    changes = (await reader.changes()).changes
    made = [(c.change_type, c.public_id) for c in changes if c.change_type != "CompletedSeries"]
    assert made == expected_changes(entries)
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    completed = [c.public_id for c in changes if c.change_type == "CompletedSeries"]
    assert sorted(completed) == sorted({entry.public_ids.series for entry in entries})
    assert (await reader.progress()).sequence >= 12


async def test_what_is_known_in_a_batch_does_not_hold_up_what_is_new(
    system: System, writer: IndexWriter
) -> None:
    entries = await entries_of_two_patients(system)
    assert await apply(writer, entries[:4])
    assert not await apply(writer, entries[2:], 2)
    assert await system.reader.statistics() == Statistics(2, 3, 6, 12, 12 * SIZE_BYTES)
    changes = (await system.reader.changes()).changes
    assert sum(change.change_type == "NewInstance" for change in changes) == 12
    assert (await system.reader.progress()).sequence == 2


async def test_one_instance_twice_in_a_batch_is_stored_once(
    system: System, writer: IndexWriter
) -> None:
    data = as_file(make_ct())
    first, second = await entry_of(system, data), await entry_of(system, data)
    assert not await apply(writer, [first, second])
    (stored,) = await system.reader.instances(Level.INSTANCE, first.public_ids.instance)
    assert stored.object_key == first.event.object_key
    assert await writer.garbage(at_most=9, older_than_s=0) == [second.event.object_key]


async def test_a_deleted_object_does_not_come_back_with_its_event(
    system: System, writer: IndexWriter
) -> None:
    entry = await entry_of(system, as_file(make_ct()))
    assert await apply(writer, [entry])
    await apply(writer, [DeleteResources(resources=[(Level.PATIENT, entry.public_ids.patient)])], 2)
    assert not await apply(writer, [entry], 3)
    assert await system.reader.statistics() == Statistics(0, 0, 0, 0, 0)


@pytest.mark.parametrize("level", LEVELS)
async def test_a_deletion_takes_what_is_below_its_resource_and_no_more(
    system: System, writer: IndexWriter, level: Level
) -> None:
    entries = await entries_of_two_patients(system)
    await apply(writer, entries)
    doomed = entries[0].public_ids[level.depth]
    await apply(writer, [DeleteResources(resources=[(level, doomed)])], 2)
    left = [entry for entry in entries if entry.public_ids[level.depth] != doomed]
    ids = [{entry.public_ids[each.depth] for entry in left} for each in LEVELS]
    assert await system.reader.statistics() == Statistics(
        *(len(each) for each in ids), len(left) * SIZE_BYTES
    )
    for entry in entries:
        found = await system.reader.resource(Level.INSTANCE, entry.public_ids.instance)
        assert (found is not None) == (entry in left)

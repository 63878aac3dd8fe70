"""From a stored file to its place in the index, on real engines."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from pydicom.uid import generate_uid

from lanthorn_core import wiring
from lanthorn_core.dicom.matching import parse_constraint
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import (
    MissingIdentifier,
    RevisionMismatch,
    SopClassMismatch,
    UnknownResource,
)
from lanthorn_core.events import InstanceStored
from lanthorn_core.model import LEVELS, Level, Origin
from lanthorn_core.ports.bus import Delivery
from lanthorn_core.ports.index import FindQuery, OrderBy, Statistics
from lanthorn_core.usecases.delete_resources import DeleteResources
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from lanthorn_core.usecases.store_instance import ReceivedInstance
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.fixtures.index import REST_ORIGIN, MakeSystem, System


async def settled(check, *, within_s: float = 60.0) -> None:
    """Wait until a coroutine function answers true."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # another task or process acts


async def test_a_stored_instance_is_found_at_all_four_levels(system: System) -> None:
    data = ct_file(PatientID="1CT1", PatientName="Doe^Jane", InstanceNumber=7)
    receipt = await system.store(data)
    assert await system.reader.wait_until_current()
    for level in LEVELS:
        public_id = getattr(receipt.public_ids, level.lower())
        resource = await system.reader.resource(level, public_id)
        assert resource is not None
        assert resource.public_id == public_id
    instance = await system.reader.resource(Level.INSTANCE, receipt.public_ids.instance)
    assert instance is not None
    assert instance.index_in_series == 7
    assert instance.metadata["Origin"] == "RestApi"
    (stored,) = await system.reader.instances(Level.PATIENT, receipt.public_ids.patient)
    assert await system.objects.get(stored.object_key) == data
    assert await system.reader.statistics() == Statistics(1, 1, 1, 1, len(data))


async def test_a_query_after_an_acknowledgement_never_misses(system: System) -> None:
    for number in range(100):
        receipt = await system.store(ct_file(PatientID=f"R{number}"))
        await system.reader.wait_until_current()
        found = await system.reader.resource(Level.INSTANCE, receipt.public_ids.instance)
        assert found is not None


async def test_without_overwriting_the_first_of_two_objects_stays(system: System) -> None:
    dataset = make_ct(PatientID="same")
    first = await system.store(as_file(dataset))
    dataset.StudyDescription = "changed"
    second = await system.store(as_file(dataset))
    await system.reader.wait_until_current()
    (stored,) = await system.reader.instances(Level.INSTANCE, first.public_ids.instance)
    assert stored.object_key == first.object_key

    async def loser_is_gone() -> bool:
        return second.object_key not in [info.key async for info in system.objects.list()]

    await settled(loser_is_gone)
    assert (await system.reader.statistics()).instances == 1


async def test_with_overwriting_the_last_of_two_objects_stays(make_system: MakeSystem) -> None:
    system = await make_system(OVERWRITE_INSTANCES="true")
    async with system.indexer():
        dataset = make_ct(PatientID="same")
        first = await system.store(as_file(dataset))
        await system.reader.wait_until_current()
        await system.editor.set_metadata(Level.INSTANCE, first.public_ids.instance, "m", "gone")
        await system.editor.set_label(Level.STUDY, first.public_ids.study, "stays")
        dataset.PatientComments = "changed"
        second = await system.store(as_file(dataset))
        await system.reader.wait_until_current()
        (stored,) = await system.reader.instances(Level.INSTANCE, first.public_ids.instance)
        assert stored.object_key == second.object_key
        counts = await system.reader.statistics()
        assert (counts.instances, counts.size_bytes) == (1, second.size_bytes)
        instance = await system.reader.resource(Level.INSTANCE, first.public_ids.instance)
        study = await system.reader.resource(Level.STUDY, first.public_ids.study)
        assert instance is not None
        assert "m" not in instance.metadata
        assert study is not None
        assert study.labels == ["stays"]


async def test_an_event_delivered_twice_is_indexed_once(system: System) -> None:
    receipt = await system.store(ct_file())
    event = InstanceStored(
        object_key=receipt.object_key,
        size_bytes=receipt.size_bytes,
        sha256="",
        transfer_syntax_uid="",
        received_at=0.0,
        origin=Origin(),
    )
    for number in range(3):
        await system.publish(event, f"again-{number}")
    await system.reader.wait_until_current()
    assert (await system.reader.statistics()).instances == 1
    changes = (await system.reader.changes()).changes
    assert [change.change_type for change in changes[:4]] == [
        "NewInstance",
        "NewSeries",
        "NewStudy",
        "NewPatient",
    ]
    assert sum(change.change_type == "NewInstance" for change in changes) == 1


async def test_deleting_the_last_series_takes_its_parents_and_objects(system: System) -> None:
    study = make_ct(PatientID="two studies")
    one = await system.store(as_file(study))
    other = await system.store(ct_file(PatientID="two studies"))
    await system.reader.wait_until_current()
    await system.editor.set_label(Level.SERIES, one.public_ids.series, "label")
    delete = DeleteResources(system.bus.publisher, system.reader)
    await delete([(Level.SERIES, one.public_ids.series), (Level.STUDY, "unknown")])
    assert await system.reader.resource(Level.STUDY, one.public_ids.study) is None
    patient = await system.reader.resource(Level.PATIENT, one.public_ids.patient)
    assert patient is not None
    assert patient.child_ids == [other.public_ids.study]
    assert await system.reader.statistics() == Statistics(1, 1, 1, 1, other.size_bytes)
    assert await system.reader.labels() == []
    listed = {change.public_id for change in (await system.reader.changes()).changes}
    assert one.public_ids.instance not in listed

    async def object_is_gone() -> bool:
        return [info.key async for info in system.objects.list()] == [other.object_key]

    await settled(object_is_gone)


async def test_an_instance_may_come_back_after_its_deletion(system: System) -> None:
    data = ct_file()
    first = await system.store(data)
    await system.reader.wait_until_current()
    await DeleteResources(system.bus.publisher, system.reader)(
        [(Level.PATIENT, first.public_ids.patient)]
    )
    second = await system.store(data)
    await system.reader.wait_until_current()
    (stored,) = await system.reader.instances(Level.PATIENT, first.public_ids.patient)
    assert stored.object_key == second.object_key


async def test_resources_become_stable_and_unstable_again(make_system: MakeSystem) -> None:
    system, unhurried = await make_system(STABLE_AGE="1"), await make_system(STABLE_AGE="3600")
    dataset = make_ct()
    receipt = await system.store(as_file(dataset))

    async def is_stable() -> bool:
        study = await system.reader.resource(Level.STUDY, receipt.public_ids.study)
        return study is not None and study.is_stable

    async with system.indexer():
        await settled(is_stable)
    changes = (await system.reader.changes()).changes
    assert {"StablePatient", "StableStudy", "StableSeries"} <= {c.change_type for c in changes}
    dataset.SOPInstanceUID = generate_uid()
    async with unhurried.indexer():  # under the other, it could be stable again before we look
        await system.store(as_file(dataset))
        assert await system.reader.wait_until_current()
        assert not await is_stable()


async def test_a_complete_series_is_told_in_the_changes(system: System) -> None:
    dataset = make_ct(CardiacNumberOfImages=2)
    await system.store(as_file(dataset))
    dataset.SOPInstanceUID = generate_uid()
    dataset.InstanceNumber = 2
    receipt = await system.store(as_file(dataset))
    await system.reader.wait_until_current()
    changes = (await system.reader.changes(types=["CompletedSeries"])).changes
    assert [change.public_id for change in changes] == [receipt.public_ids.series]


async def test_a_poisonous_event_is_set_aside_and_holds_up_nobody(system: System) -> None:
    key = object_key(new_receipt_id())
    poison = InstanceStored(
        object_key=key,
        size_bytes=4,
        sha256="",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        received_at=0.0,
        origin=Origin(),
        header=b"\xff\xff\xff\xff",
    )
    await system.publish(poison, key)
    receipt = await system.store(ct_file())
    assert await system.reader.wait_until_current()
    assert await system.reader.resource(Level.INSTANCE, receipt.public_ids.instance) is not None


async def test_a_parked_event_is_listed_and_can_be_retried(system: System, monkeypatch) -> None:
    monkeypatch.setattr("lanthorn_core.adapters.bus_nats.retries.RETRY_DELAYS_S", ())
    position = await system.bus.publisher.last_position()
    await system.bus.retries.set_aside(Delivery(position, b"not an event"), "first failure")

    async def is_parked() -> bool:
        return bool(await system.bus.retries.parked())

    await settled(is_parked)
    (parked,) = await system.bus.retries.parked()
    assert parked.payload == b"not an event"
    assert "ValidationError" in parked.error
    assert await system.bus.retries.retry_parked(parked.number)
    assert not await system.bus.retries.retry_parked(parked.number)


async def test_an_object_without_event_is_found_by_the_sweep(make_system: MakeSystem) -> None:
    system = await make_system()
    data = ct_file(PatientID="orphan")
    key = object_key(new_receipt_id(1_700_000_000.0))
    await system.objects.put(key, [data])
    async with system.indexer():

        async def is_found() -> bool:
            return bool(await system.reader.lookup("orphan"))

        await settled(is_found)
        (stored,) = await system.reader.instances(
            Level.PATIENT, (await system.reader.lookup("orphan"))[0][1]
        )
        assert stored.object_key == key


async def test_events_published_while_no_indexer_runs_are_waited_for(
    make_system: MakeSystem,
) -> None:
    system = await make_system(LANTHORN__INDEX_BARRIER_TIMEOUT="0.3")
    receipt = await system.store(ct_file())
    assert not await system.reader.wait_until_current()
    async with system.indexer():
        await settled(system.reader.wait_until_current)
        assert await system.reader.resource(Level.STUDY, receipt.public_ids.study) is not None


async def test_a_second_indexer_takes_over_where_the_first_stopped(make_system: MakeSystem) -> None:
    system = await make_system()
    async with system.indexer():
        async with system.indexer():
            for number in range(20):
                await system.store(ct_file(PatientID=f"T{number}"))
        await system.store(ct_file(PatientID="T20"))
        assert await system.reader.wait_until_current()
        assert (await system.reader.statistics()).instances == 21


async def test_reindexing_rebuilds_the_index_from_the_objects_alone(system: System) -> None:
    receipts = [await system.store(ct_file(PatientID=f"X{number % 3}")) for number in range(9)]
    await system.reader.wait_until_current()
    before = await system.reader.find(FindQuery(level=Level.STUDY))
    summary = await wiring.reindex(system.settings, fresh=True)
    assert (summary.objects, summary.patients, summary.instances) == (9, 3, 9)
    after = await system.reader.find(FindQuery(level=Level.STUDY))
    assert {r.public_id: r.main_tags for r in after} == {r.public_id: r.main_tags for r in before}
    (stored,) = await system.reader.instances(Level.INSTANCE, receipts[0].public_ids.instance)
    assert stored.object_key == receipts[0].object_key


async def test_reindexing_keeps_what_users_added(system: System) -> None:
    receipt = await system.store(ct_file())
    await system.reader.wait_until_current()
    await system.editor.set_label(Level.STUDY, receipt.public_ids.study, "kept")
    summary = await wiring.reindex(system.settings)
    assert summary.objects == 1
    study = await system.reader.resource(Level.STUDY, receipt.public_ids.study)
    assert study is not None
    assert study.labels == ["kept"]


async def test_an_instance_without_study_uid_is_refused_and_leaves_nothing(system: System) -> None:
    with pytest.raises(MissingIdentifier):
        await system.store(ct_file(StudyInstanceUID=None))
    assert [info async for info in system.objects.list()] == []


async def test_a_command_that_names_another_instance_is_refused(system: System) -> None:
    instance = ReceivedInstance([ct_file()], sop_class_uid="1.2", sop_instance_uid="3.4")
    with pytest.raises(SopClassMismatch):
        await system.store_instance(instance, REST_ORIGIN)
    assert [info async for info in system.objects.list()] == []


async def test_metadata_keep_revisions(system: System) -> None:
    receipt = await system.store(ct_file())
    await system.reader.wait_until_current()
    where = (Level.STUDY, receipt.public_ids.study, "note")
    editor = system.editor
    first = await editor.set_metadata(*where, "hello")
    digest = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    with pytest.raises(RevisionMismatch):
        await editor.set_metadata(*where, "x", must_expect=True)
    with pytest.raises(RevisionMismatch):
        await editor.set_metadata(*where, "x", expected=(first.revision + 1, digest))
    second = await editor.set_metadata(*where, "x", expected=(first.revision, digest))
    assert second.revision == first.revision + 1
    assert await editor.delete_metadata(*where)
    assert not await editor.delete_metadata(*where)
    with pytest.raises(UnknownResource):
        await editor.set_metadata(Level.STUDY, "unknown", "note", "x")


async def test_searches_find_by_each_kind_of_matching(system: System) -> None:
    await system.store(
        ct_file(
            PatientID="a%b_",
            PatientName="Müller^Jörg",
            StudyDate="20200101",
            Modality="MR",
            SpecificCharacterSet="ISO_IR 192",
        )
    )
    await system.store(ct_file(PatientID="axbx", PatientName="MULLER", StudyDate="20210101"))
    await system.reader.wait_until_current()

    async def count(level: Level, case_sensitive: bool = True, **wanted: str) -> int:
        keys = [
            parse_constraint(parse_tag(keyword), text, case_sensitive=case_sensitive)
            for keyword, text in wanted.items()
        ]
        return await system.reader.count(FindQuery(level=level, keys=keys))

    assert await count(Level.STUDY, PatientID="a%b_") == 1
    assert await count(Level.STUDY, PatientID="a?b?") == 2
    assert await count(Level.STUDY, PatientID="A%B_") == 0
    assert await count(Level.STUDY, case_sensitive=False, PatientID="A%B_") == 1
    assert await count(Level.PATIENT, case_sensitive=False, PatientName="mÜLLER*") == 1
    assert await count(Level.PATIENT, case_sensitive=False, PatientName="m?ller*") == 2
    assert await count(Level.STUDY, StudyDate="20200101-20201231") == 1
    assert await count(Level.STUDY, StudyDate="-20210101") == 2
    assert await count(Level.STUDY, StudyDate="20200102-") == 1
    assert await count(Level.STUDY, StudyDate=r"20200101\20210101") == 2
    assert await count(Level.STUDY, ModalitiesInStudy=r"MR\US") == 1
    assert await count(Level.SERIES, Modality="C*", PatientID="*") == 1
    assert await count(Level.STUDY, PatientID="'; DROP TABLE study; --") == 0


async def test_answers_can_be_ordered_and_windowed(system: System) -> None:
    for number in (2, 3, 1):
        await system.store(ct_file(PatientID=f"O{number}", AccessionNumber=str(number)))
    await system.reader.wait_until_current()
    by_accession = FindQuery(
        level=Level.STUDY, order_by=[OrderBy("DicomTag", "AccessionNumber")], since=1, limit=1
    )
    (study,) = await system.reader.find(by_accession)
    assert study.main_tags["AccessionNumber"] == "2"
    arrivals = await system.reader.find(FindQuery(level=Level.STUDY))
    assert [study.main_tags["AccessionNumber"] for study in arrivals] == ["2", "3", "1"]


async def test_computed_tags_count_and_collect(system: System) -> None:
    study = make_ct()
    receipt = await system.store(as_file(study))
    study.SOPInstanceUID = generate_uid()
    study.SeriesInstanceUID = generate_uid()
    study.Modality = "PT"
    await system.store(as_file(study))
    await system.reader.wait_until_current()
    found = await system.reader.computed_tags(
        Level.STUDY,
        [receipt.public_ids.study],
        ["ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"],
    )
    assert found[receipt.public_ids.study] == {
        "ModalitiesInStudy": r"CT\PT",
        "NumberOfStudyRelatedSeries": "2",
        "NumberOfStudyRelatedInstances": "2",
    }

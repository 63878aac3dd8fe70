"""Limits of the store, on an index in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from lanthorn_core.dicom.identifiers import Identity, PublicIds, public_ids
from lanthorn_core.errors import IndexUnavailable, StorageFull
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Statistics
from lanthorn_core.usecases import storage_limits
from lanthorn_core.usecases.storage_limits import StorageLimits


@dataclass
class Index:
    """Knows what was announced once somebody waited at the barrier, and what it was asked."""

    announced: dict[PublicIds, int] = field(default_factory=dict)
    indexed: dict[PublicIds, int] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    is_down: bool = False

    async def wait_until_current(self) -> bool:
        self.questions.append("barrier")
        await asyncio.sleep(0)
        self.indexed = dict(self.announced)
        return True

    async def statistics(self) -> Statistics:
        self.questions.append("statistics")
        if self.is_down:
            raise IndexUnavailable
        await asyncio.sleep(0)
        patients = {ids.patient for ids in self.indexed}
        return Statistics(len(patients), 0, 0, len(self.indexed), sum(self.indexed.values()))

    async def level_of(self, public_id: str) -> Level | None:
        self.questions.append("level_of")
        if self.is_down:
            raise IndexUnavailable
        await asyncio.sleep(0)
        return Level.INSTANCE if any(public_id in ids for ids in self.indexed) else None


def instance(patient: str, number: int = 1) -> PublicIds:
    return public_ids(Identity(patient, f"{patient}.1", f"{patient}.2", f"{patient}.3.{number}"))


async def store(limits: StorageLimits, index: Index, ids: PublicIds, size_bytes: int = 10) -> None:
    async with limits.room_for(ids, size_bytes):
        await asyncio.sleep(0)
        index.announced[ids] = size_bytes


async def test_a_new_patient_beyond_the_limit_is_refused() -> None:
    limits = StorageLimits(index := Index(), max_bytes=0, max_patients=2)
    await store(limits, index, instance("a"))
    await store(limits, index, instance("b"))
    with pytest.raises(StorageFull, match="Maximum patient count reached"):
        await store(limits, index, instance("c"))
    await store(limits, index, instance("a", 2))


async def test_a_known_patient_takes_no_second_place() -> None:
    index = Index(indexed={instance("a"): 1}, announced={instance("a"): 1})
    limits = StorageLimits(index, max_bytes=0, max_patients=2)
    await store(limits, index, instance("a", 2))
    await store(limits, index, instance("b"))


async def test_bytes_beyond_the_limit_are_refused() -> None:
    limits = StorageLimits(index := Index(), max_bytes=30, max_patients=0)
    await store(limits, index, instance("a", 1), 20)
    with pytest.raises(StorageFull, match="Maximum storage size reached"):
        await store(limits, index, instance("a", 2), 11)
    await store(limits, index, instance("a", 3), 10)


async def test_what_is_there_already_may_come_again_to_a_full_store() -> None:
    limits = StorageLimits(index := Index(), max_bytes=30, max_patients=0)
    await store(limits, index, instance("a"), 30)
    with pytest.raises(StorageFull):
        await store(limits, index, instance("b"), 1)
    await store(limits, index, instance("a"), 30)


async def test_instances_in_hand_at_once_share_the_room() -> None:
    limits = StorageLimits(index := Index(), max_bytes=0, max_patients=3)
    await store(limits, index, instance("known"))
    coming = ["known", "a", "b", "a", "c", "d"]
    answers = await asyncio.gather(
        *(store(limits, index, instance(name, 10 + i)) for i, name in enumerate(coming)),
        return_exceptions=True,
    )
    refused = [name for name, answer in zip(coming, answers, strict=True) if answer is not None]
    assert all(isinstance(answer, StorageFull) for answer in answers if answer is not None)
    assert len(refused) == 2
    assert set(refused) < {"b", "c", "d"}
    assert len({ids.patient for ids in index.announced}) == 3


async def test_a_store_that_failed_takes_no_room() -> None:
    limits = StorageLimits(index := Index(), max_bytes=10, max_patients=0)
    with pytest.raises(ZeroDivisionError):
        async with limits.room_for(instance("a"), 10):
            raise ZeroDivisionError
    await store(limits, index, instance("b"), 10)


async def test_room_that_was_freed_is_found_at_once() -> None:
    limits = StorageLimits(index := Index(), max_bytes=10, max_patients=0)
    await store(limits, index, instance("a"), 10)
    index.announced.clear()
    await store(limits, index, instance("b"), 10)


async def test_far_from_the_limits_the_counts_are_not_read_for_each_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_limits, "COUNTS_HOLD_S", 60.0)
    limits = StorageLimits(index := Index(), max_bytes=1000, max_patients=100)
    for number in range(20):
        await store(limits, index, instance("a", number))
    assert index.questions == ["statistics"]


async def test_what_others_stored_counts_once_the_counts_are_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_limits, "COUNTS_HOLD_S", 0.05)
    limits = StorageLimits(index := Index(), max_bytes=30, max_patients=0)
    await store(limits, index, instance("a"), 10)
    index.indexed = index.announced = {instance("other"): 25}
    await asyncio.sleep(0.06)
    with pytest.raises(StorageFull):
        await store(limits, index, instance("b"), 10)


async def test_an_index_that_is_away_stops_nothing_until_a_limit_seems_reached() -> None:
    limits = StorageLimits(index := Index(is_down=True), max_bytes=20, max_patients=0)
    await store(limits, index, instance("a"), 20)
    with pytest.raises(IndexUnavailable):
        await store(limits, index, instance("b"), 1)

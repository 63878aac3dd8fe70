"""What a batch of stored instances means, before any SQL."""

from __future__ import annotations

from lanthorn_core.adapters.index_postgres.plan import Departures, plan_batch
from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.events import InstanceStored
from lanthorn_core.model import Level, Origin
from lanthorn_core.ports.index_writer import InstanceEntry


def entry(key: str, instance: str = "i", *, reindex: bool = False) -> InstanceEntry:
    event = InstanceStored(
        object_key=key,
        size_bytes=10,
        sha256="",
        transfer_syntax_uid="",
        received_at=0,
        origin=Origin(),
        reindex=reindex,
    )
    ids = PublicIds("p", "t", "s", instance)
    return InstanceEntry(event, ids, {}, {}, "", None, None, 1)


def test_what_is_unknown_is_fresh() -> None:
    plan = plan_batch([entry("a"), entry("b", "j")], {}, set(), overwrite=False)
    assert list(plan.fresh) == ["i", "j"]
    assert plan.discarded_keys == []


def test_without_overwriting_the_earlier_object_wins_within_and_across_batches() -> None:
    within = plan_batch([entry("a"), entry("b")], {}, set(), overwrite=False)
    across = plan_batch([entry("b")], {"i": "a"}, set(), overwrite=False)
    assert within.fresh["i"].event.object_key == "a"
    assert across.fresh == {}
    assert within.discarded_keys == across.discarded_keys == ["b"]


def test_with_overwriting_the_later_object_wins_within_and_across_batches() -> None:
    plan = plan_batch([entry("b"), entry("c")], {"i": "a"}, set(), overwrite=True)
    assert plan.fresh["i"].event.object_key == "c"
    assert plan.replaced == ["i"]
    assert plan.discarded_keys == ["a", "b"]


def test_a_second_delivery_changes_nothing_even_with_overwriting() -> None:
    plan = plan_batch([entry("a"), entry("a")], {"i": "a"}, set(), overwrite=True)
    assert (plan.fresh, plan.replaced, plan.discarded_keys) == ({}, [], [])


def test_a_discarded_object_stays_discarded() -> None:
    assert plan_batch([entry("a")], {}, {"a"}, overwrite=True).fresh == {}


def test_reindexing_reads_again_what_is_current() -> None:
    known = {"i": "a"}
    plan = plan_batch([entry("a", reindex=True)], known, set(), overwrite=False)
    assert [again.event.object_key for again in plan.reindexed] == ["a"]


def test_departures_are_carried_to_all_levels() -> None:
    ids = PublicIds("p", "t", "s", "i")
    gone = Departures()
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        gone.parent(level, ids)
    gone.instance(ids, 10)
    gone.instance(PublicIds("p", "t", "other", "j"), 4)
    series = [["s", "other"], [-1, -1], [-10, -4]]
    study = [["t"], [-1], [-2], [-14]]
    patient = [["p"], [-1], [-1], [-2], [-14]]
    assert gone.columns() == [*series, *study, *patient, -1, -1, -1, -2, -14]

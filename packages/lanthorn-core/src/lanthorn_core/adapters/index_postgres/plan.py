"""What a batch of stored instances means for the index: pure decisions, before any SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.model import Level
from lanthorn_core.ports.index_writer import InstanceEntry


@dataclass(slots=True)
class BatchPlan:
    """`fresh` is to be inserted, `replaced` (instance ids) removed before that."""

    fresh: dict[str, InstanceEntry] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    reindexed: list[InstanceEntry] = field(default_factory=list)
    discarded_keys: list[str] = field(default_factory=list)


def plan_batch(
    entries: Sequence[InstanceEntry],
    known: Mapping[str, str],
    discarded: Collection[str],
    *,
    overwrite: bool,
) -> BatchPlan:
    """Decide which receipt of each instance becomes, or stays, the current one.

    `known` has the object keys of instances that the index has already, by public id; `discarded`
    the object keys that it does not want back.

    An object that was discarded before stays so, an object that is indexed already is not indexed
    again: events may come more than once. Of two objects of one instance the earlier stays, or
    with `overwrite` (Orthanc's `OverwriteInstances`) the later replaces it; the loser is discarded.
    """
    plan = BatchPlan()
    for entry in entries:
        key, public_id = entry.event.object_key, entry.public_ids.instance
        if key in discarded:
            continue
        winner = plan.fresh.get(public_id)
        current = winner.event.object_key if winner else None
        if current is None and public_id in known:
            current = known[public_id]
        if current is None:
            plan.fresh[public_id] = entry
        elif current == key:
            if entry.event.reindex:
                plan.reindexed.append(entry)
        elif overwrite:
            plan.discarded_keys.append(current)
            if winner is None:
                plan.replaced.append(public_id)
            plan.fresh[public_id] = entry
        else:
            plan.discarded_keys.append(key)
    return plan


class Departures:
    """What goes, as changes to the counters of every resource above it, by public id."""

    def __init__(self) -> None:
        self._patients: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._studies: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._series: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._server = [0, 0, 0, 0, 0]

    def instance(self, ids: PublicIds, size_bytes: int) -> None:
        """Count one instance."""
        for counts in (
            self._patients[ids.patient],
            self._studies[ids.study],
            self._series[ids.series],
            self._server,
        ):
            counts[-2] -= 1
            counts[-1] -= size_bytes

    def parent(self, level: Level, ids: PublicIds) -> None:
        """Count one patient, study or series that has become empty."""
        if level is Level.SERIES:
            self._studies[ids.study][0] -= 1
            self._patients[ids.patient][1] -= 1
        elif level is Level.STUDY:
            self._patients[ids.patient][0] -= 1
        self._server[level.depth] -= 1

    def columns(self) -> list[Any]:
        """Return the parameters of the statement `count_down`."""
        columns: list[Any] = []
        for counts, width in ((self._series, 2), (self._studies, 3), (self._patients, 4)):
            columns.append(list(counts))
            columns += [[row[place] for row in counts.values()] for place in range(width)]
        return columns + self._server

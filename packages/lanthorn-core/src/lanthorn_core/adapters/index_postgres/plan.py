"""What a batch of stored instances means for the index: pure decisions, before any SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lanthorn_core.dicom.identifiers import PublicIds
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


class Tally:
    """Changes to the counters of every resource that a batch touches, by public id."""

    def __init__(self) -> None:
        self.patients: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.studies: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.series: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.server = [0, 0, 0, 0, 0]

    def instance(self, ids: PublicIds, size_bytes: int, sign: int = 1) -> None:
        """Count one instance that came or, with `sign` -1, went."""
        for counts in (
            self.patients[ids.patient],
            self.studies[ids.study],
            self.series[ids.series],
        ):
            counts[-2] += sign
            counts[-1] += sign * size_bytes
        self.server[3] += sign
        self.server[4] += sign * size_bytes

    def new_series(self, ids: PublicIds, sign: int = 1) -> None:
        """Count one series that was made or removed."""
        self.patients[ids.patient][1] += sign
        self.studies[ids.study][0] += sign
        self.server[2] += sign

    def new_study(self, ids: PublicIds, sign: int = 1) -> None:
        """Count one study that was made or removed."""
        self.patients[ids.patient][0] += sign
        self.server[1] += sign

    def columns(self) -> list[Any]:
        """Return the parameters of the statement `count_up`, its last one apart."""
        columns: list[Any] = []
        for counts, width in ((self.series, 2), (self.studies, 3), (self.patients, 4)):
            columns.append(list(counts))
            columns += [[row[place] for row in counts.values()] for place in range(width)]
        return columns + self.server

    def new_patient(self, sign: int = 1) -> None:
        """Count one patient that was made or removed."""
        self.server[0] += sign

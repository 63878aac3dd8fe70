"""The index: where resources are found, and the little that may be written beside the indexer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeVar

from lanthorn_core.dicom.dataset_matching import DatasetKeys, MomentRange
from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.model import Level
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.ports.imported import ImportedResource


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A patient, study, series or instance with what the index knows of it.

    `main_tags` maps keywords to texts as Orthanc shows them. `metadata` holds system and user
    metadata by name. `child_ids` are in the order of arrival; for a series, `child_indexes` are
    their `IndexInSeries`. The fields below `is_protected` are those of one level only.
    """

    level: Level
    public_id: str
    main_tags: Mapping[str, str]
    metadata: Mapping[str, str]
    labels: Sequence[str]
    parent_id: str | None
    child_ids: Sequence[str] = ()
    is_stable: bool = False
    updated_at: datetime
    is_protected: bool = False
    patient_main_tags: Mapping[str, str] = field(default_factory=dict)
    expected_number_of_instances: int | None = None
    child_indexes: Sequence[int | None] = ()
    object_key: str = ""
    size_bytes: int = 0
    index_in_series: int | None = None
    number_of_frames: int = 1


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where the bytes of an instance lie, and what a sender must know of them."""

    public_id: str
    object_key: str
    size_bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    pixel_data_offset: int | None
    number_of_frames: int

    @property
    def file_uuid(self) -> str:
        """The receipt id, which Orthanc's clients know as `FileUuid`."""
        return self.object_key.rpartition("/")[2].removesuffix(".dcm")


LabelsConstraint = Literal["All", "Any", "None"]
Answer = TypeVar("Answer")
PUBLIC_ID: Final = "public_id"
"""Among the keywords of `find_texts`: the id of each resource."""


@dataclass(frozen=True, slots=True)
class OrderBy:
    """One key of the order of answers; `key` is a tag's keyword or the name of a metadata."""

    kind: Literal["DicomTag", "Metadata"]
    key: str
    descending: bool = False
    values: Literal["text", "int", "float"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindQuery:
    """A question to the index, the same for C-FIND, QIDO-RS and /tools/find.

    `keys` must all be indexed ones (`matching.is_indexed`) where the index is asked itself;
    `FindResources` takes any, and `items`, what sequences must contain. `moments` are ranges of
    Study Date and Time that are matched as one. `ancestors` restricts to what lies below all of
    these resources, `public_ids` to these. A `limit` of 0 means no limit. Without `order_by` the
    answers come in the order of arrival.
    """

    level: Level
    keys: Sequence[MatchingKey] = ()
    moments: Sequence[MomentRange] = ()
    items: DatasetKeys | None = None
    public_ids: Sequence[str] | None = None
    labels: Sequence[str] = ()
    labels_constraint: LabelsConstraint = "All"
    metadata: Sequence[tuple[str, MatchingKey]] = ()
    ancestors: Sequence[tuple[Level, str]] = ()
    order_by: Sequence[OrderBy] = ()
    since: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class TextPage:
    """Some answers; each row is a position, then the text of each attribute, None if absent.

    Rows are read by index or in order: they are the database client's own records.
    """

    rows: Sequence[Any]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the changes log."""

    sequence: int
    change_type: str
    level: Level
    public_id: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """A window of the changes log; `first` and `last` are the log's own bounds if it is empty."""

    changes: Sequence[Change]
    done: bool
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of resources at and below somewhere, and the bytes of their objects."""

    patients: int
    studies: int
    series: int
    instances: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A metadata's value with the number that `ETag` shows."""

    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that users attached to a resource, under a number from 1024 on."""

    number: int
    object_key: str
    size_bytes: int
    md5: str
    revision: int = 0


class IndexReader(Protocol):
    """Questions to the index. Raises `IndexUnavailable` when the database does not answer.

    Every question shows at least what was acknowledged before `wait_until_current` was called.
    """

    async def wait_until_current(self) -> bool:
        """Wait at the index barrier; False when its time limit passed (see architecture)."""
        ...

    async def read_current(self, read: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """Read behind the index barrier; False as in `wait_until_current`.

        The same promise as waiting first and reading then, and faster: `read` may be called
        before it is known whether the index is current, and again if it was not.
        """
        ...

    async def expect_event(self) -> None:
        """Say that an event is about to be published whose effect will be asked for.

        It is then applied sooner; saying it without need only costs the indexer a little.
        """
        ...

    async def objects_at(
        self, position: StreamPosition, stored: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bool]:
        """Object keys of those of the instances that exist, once an event is applied.

        For who stored these objects, by public id of the instance, the last of them by the event at
        `position`; False as in `wait_until_current`.
        """
        ...

    async def find_ids(self, query: FindQuery) -> list[str]:
        """Public ids of what matches."""
        ...

    async def find_texts(
        self, query: FindQuery, keywords: tuple[str, ...], *, after: int = 0
    ) -> TextPage:
        """Attributes of what matches, in the order of arrival; `order_by` and window are ignored.

        `keywords` name attributes that the index has as texts (`matching.is_text_indexed`), or
        are `PUBLIC_ID`. The query must be hashable: of tuples, not lists. An unlimited search is
        read page by page: the next one begins `after` the position in the last row of this.
        """
        ...

    async def find(self, query: FindQuery) -> list[Resource]:
        """Resources that match."""
        ...

    async def count(self, query: FindQuery) -> int:
        """How many match, the window ignored."""
        ...

    async def resource(self, level: Level, public_id: str) -> Resource | None:
        """One resource, or None."""
        ...

    async def resources(self, level: Level, public_ids: Sequence[str]) -> list[Resource]:
        """Those of the resources that exist, in the order asked."""
        ...

    async def level_of(self, public_id: str) -> Level | None:
        """At which level there is a resource of this id."""
        ...

    async def ancestor(self, level: Level, public_id: str, ancestor: Level) -> str | None:
        """Id of the resource of level `ancestor` above this one."""
        ...

    async def lookup(self, text: str) -> list[tuple[Level, str]]:
        """Resources whose PatientID or UID this is, case and outer spaces ignored."""
        ...

    async def instances(self, level: Level, public_id: str) -> list[StoredInstance]:
        """Instances at or below a resource, by series and in order of IndexInSeries, arrival."""
        ...

    async def first_instances(
        self, level: Level, public_ids: Sequence[str]
    ) -> dict[str, StoredInstance]:
        """For each resource that exists the first of its `instances`."""
        ...

    async def computed_tags(
        self, level: Level, public_ids: Sequence[str], keywords: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        """Count and collect (`COMPUTED_TAGS`) for resources, by id and keyword."""
        ...

    async def progress(self) -> StreamPosition:
        """Tell up to where the stream's events are in the index, without waiting for any."""
        ...

    async def statistics(self) -> Statistics:
        """Tell the counts of the whole server, which are maintained and never counted."""
        ...

    async def resource_statistics(self, level: Level, public_id: str) -> Statistics | None:
        """Tell the counts below one resource."""
        ...

    async def changes(
        self,
        *,
        since: int = 0,
        to: int | None = None,
        limit: int = 100,
        types: Sequence[str] = (),
    ) -> ChangesPage:
        """Window of the changes log: after `since`, up to `to`; with `to` alone, the last ones."""
        ...

    async def last_change(self) -> ChangesPage:
        """Return the newest entry of the changes log."""
        ...

    async def labels(self) -> list[str]:
        """All labels in use, sorted."""
        ...

    async def user_metadata(self, level: Level, public_id: str, name: str) -> Revision | None:
        """One user metadata with its revision."""
        ...

    async def attachments(
        self, level: Level, public_ids: Sequence[str]
    ) -> dict[str, list[Attachment]]:
        """Return what users attached to resources, by id and in the order of the numbers.

        Resources without attachments are left out.
        """
        ...

    async def check(self) -> None:
        """Return when the database answers."""
        ...


class IndexEditor(Protocol):
    """What users write: short transactions of their own, each with its change.

    Raises `UnknownResource` where the resource is not there, `RevisionMismatch` where `expected`
    is given and is not the present (revision, MD5 of the value).
    """

    async def set_label(self, level: Level, public_id: str, label: str) -> None:
        """Set a label; setting it twice is no error."""
        ...

    async def remove_label(self, level: Level, public_id: str, label: str) -> None:
        """Remove a label; one that is not set is no error."""
        ...

    async def set_metadata(
        self,
        level: Level,
        public_id: str,
        name: str,
        value: str,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> Revision:
        """Write a user metadata; `must_expect` refuses an overwrite without `expected`."""
        ...

    async def delete_metadata(
        self,
        level: Level,
        public_id: str,
        name: str,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> bool:
        """Delete a user metadata; False when it was not there."""
        ...

    async def attach(
        self,
        level: Level,
        public_id: str,
        attachment: Attachment,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> int:
        """Attach a file that is in the object store, in place of the one of the same number.

        Returns its revision; the one that is given counts for nothing.
        """
        ...

    async def detach(
        self,
        level: Level,
        public_id: str,
        number: int,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> bool:
        """Remove an attachment; False when it was not there."""
        ...

    async def set_protected(self, patient_id: str, protected: bool) -> None:
        """Protect a patient (by public id) from recycling."""
        ...

    async def add_imported(self, resources: Sequence[ImportedResource]) -> list[tuple[Level, str]]:
        """Add what another server knew of resources that are stored here.

        Nothing is replaced that users wrote, and no change is logged. Returns the resources that
        are not there.
        """
        ...

    async def clear_changes(self) -> None:
        """Empty the changes log; its counter goes on."""
        ...

"""Modality worklists: the items that are kept, and what a modality gets of them.

References
----------
DICOM PS3.4 Annex K.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from pydicom import Dataset

from lanthorn_core.dicom.dataset_answer import select_answer
from lanthorn_core.dicom.dataset_matching import (
    DatasetKeys,
    matches_dataset,
    parse_keys,
)
from lanthorn_core.dicom.dataset_writing import DEFINED_TERMS, encode_dataset
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.dicom.part10 import (
    IMPLEMENTATION_CLASS_UID,
    encode_file_meta,
    normalize_upload,
    read_file_meta,
)
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import scan_dataset
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.ports.worklists import WorklistEntry, WorklistStore

log = structlog.get_logger(__name__)

WORKLIST_SOP_CLASS: Final = "1.2.276.0.7230010.3.1.0.1"
"""Media Storage SOP Class UID of DCMTK's and Orthanc's worklist files; DICOM defines none."""

MAX_INFLATED_BYTES: Final = 4 << 20
"""A deflated file may come to this."""

REMEMBERED_BYTES: Final = 32 << 20
"""Of files whose data sets are kept parsed; what is beyond is read for every query."""

_SCHEDULED_STATION_AE_TITLE: Final = 0x0040_0001
_SCHEDULED_PROCEDURE_STEP_SEQUENCE: Final = 0x0040_0100
_TURN: Final = 64
"""Items matched before other associations have their turn."""


@dataclass(frozen=True, slots=True)
class Worklist:
    """A worklist item. `is_ours` tells that it was made here, not by another program."""

    entry: WorklistEntry
    dataset: Dataset
    is_ours: bool
    size_bytes: int

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D), empty where there is none."""
        return "\\".join(_values(self.dataset, "StudyInstanceUID"))

    @property
    def character_set(self) -> tuple[str, ...]:
        """Specific Character Set (0008,0005)."""
        return _values(self.dataset, "SpecificCharacterSet")


def _values(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    try:
        value = dataset.get(keyword) or ""
    except Exception:  # pydicom raises what its parts raise
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(str(one or "") for one in value)


@dataclass(frozen=True, slots=True)
class WorklistRules:
    """How worklists are searched, as the `Worklists` section has it.

    Attributes
    ----------
    default_encoding : str
        Orthanc's `DefaultEncoding`, of data sets that name no character set, and of answers.
    case_sensitive_pn : bool
        Whether case matters in names of people.
    filter_issuer_aet : bool
        A modality sees only what is scheduled for its AE title.
    """

    default_encoding: str = "Latin1"
    case_sensitive_pn: bool = False
    filter_issuer_aet: bool = False


class Worklists:
    """The worklist items of a store. One object serves many queries at once.

    Parameters
    ----------
    store : WorklistStore
        Asked anew for every query what there is; files that did not change are not read again.
    rules : WorklistRules
        How they are searched.
    """

    def __init__(self, store: WorklistStore, rules: WorklistRules) -> None:
        self._store = store
        self._rules = rules
        self._remembered: dict[WorklistEntry, Worklist] = {}
        self._remembered_bytes = 0
        self._broken: set[WorklistEntry] = set()

    async def all(self) -> AsyncGenerator[Worklist, None]:
        """Yield all items that can be read; the others get a warning, once for each revision."""
        entries = await self._store.entries()
        self._forget_all_but(entries)
        for entry in entries:
            worklist = self._remembered.get(entry)
            if worklist is None and entry not in self._broken:
                worklist = await self._read_or_skip(entry)
            if worklist is not None:
                yield worklist

    async def get(self, worklist_id: str) -> Worklist:
        """Return one item.

        Raises
        ------
        UnknownResource, InvalidDataset
            There is none, or it cannot be read.
        """
        return self._parse(WorklistEntry(worklist_id, ""), await self._store.read(worklist_id))

    async def find(
        self, identifier: Dataset, calling_ae_title: str, *, is_cancelled: Callable[[], bool]
    ) -> AsyncGenerator[tuple[Dataset, tuple[tuple[str, ...], ...]], None]:
        """Answer a query.

        Parameters
        ----------
        identifier : pydicom.Dataset
            Matching and return keys.
        calling_ae_title : str
            Who asks.
        is_cancelled : callable
            Asked between items.

        Yields
        ------
        answer, character_sets
            A data set, and the character sets to write it in, by preference: that of
            `DefaultEncoding`, as Orthanc's answers have, then the item's own.

        Raises
        ------
        InvalidIdentifier
            A key breaks the rules.
        """
        encoding = self._rules.default_encoding
        keys = parse_keys(
            identifier,
            default_encoding=encoding,
            case_sensitive_pn=self._rules.case_sensitive_pn,
        )
        if self._rules.filter_issuer_aet:
            keys = _scheduled_for(keys, calling_ae_title)
        looked_at = 0
        async for worklist in self.all():
            looked_at += 1
            if looked_at % _TURN == 0:
                await asyncio.sleep(0)
            if is_cancelled():
                return
            answer = self._answer(identifier, keys, worklist)
            if answer is None:
                continue
            yield answer, (DEFINED_TERMS[encoding], worklist.character_set)

    async def create(self, dataset: Dataset) -> str:
        """Keep a new item; returns its id, a UUID."""
        worklist_id = str(uuid.uuid4())
        await self.put(worklist_id, dataset)
        return worklist_id

    async def put(self, worklist_id: str, dataset: Dataset) -> None:
        """Replace an item, or make one of this id.

        Raises
        ------
        UnknownResource
            The id is none that the store could have.
        """
        await self._store.write(worklist_id, _file_of(dataset))

    async def delete(self, worklist_id: str) -> None:
        """Remove an item.

        Raises
        ------
        UnknownResource
            There is none.
        """
        if not await self._store.delete(worklist_id):
            raise UnknownResource("Worklist not found")

    def _answer(self, identifier: Dataset, keys: DatasetKeys, worklist: Worklist) -> Dataset | None:
        encoding, dataset = self._rules.default_encoding, worklist.dataset
        try:
            if not matches_dataset(keys, dataset, default_encoding=encoding):
                return None
            return select_answer(identifier, keys, dataset, default_encoding=encoding)
        except (RecursionError, InvalidDataset):
            self._skip(worklist.entry, "sequences are nested too deep")
            return None

    async def _read_or_skip(self, entry: WorklistEntry) -> Worklist | None:
        try:
            worklist = self._parse(entry, await self._store.read(entry.worklist_id))
        except UnknownResource:  # gone since it was listed
            return None
        except InvalidDataset as error:
            self._skip(entry, str(error))
            return None
        is_new = entry not in self._remembered  # another query may have read it meanwhile
        if is_new and self._remembered_bytes + worklist.size_bytes <= REMEMBERED_BYTES:
            self._remembered_bytes += worklist.size_bytes
            self._remembered[entry] = worklist
        return worklist

    def _parse(self, entry: WorklistEntry, file: bytes) -> Worklist:
        file = normalize_upload(file)
        meta = read_file_meta(file)
        header = scan_dataset(
            memoryview(file)[meta.dataset_offset :],
            meta.transfer_syntax_uid,
            max_inflated_bytes=MAX_INFLATED_BYTES,
        )
        is_ours = IMPLEMENTATION_CLASS_UID.encode() in file[: meta.dataset_offset]
        return Worklist(entry, dataset_of_header(header), is_ours, len(header.encoded))

    def _skip(self, entry: WorklistEntry, reason: str) -> None:
        if entry not in self._broken:
            self._broken.add(entry)
            log.warning("worklist_skipped", worklist_id=entry.worklist_id, error=reason)

    def _forget_all_but(self, entries: Sequence[WorklistEntry]) -> None:
        present = set(entries)
        for entry in self._remembered.keys() - present:
            self._remembered_bytes -= self._remembered.pop(entry).size_bytes
        self._broken &= present


def _file_of(dataset: Dataset) -> bytes:
    """Write a DICOM file, in UTF-8 where ASCII is not enough."""
    return encode_file_meta(
        sop_class_uid=WORKLIST_SOP_CLASS,
        sop_instance_uid=f"2.25.{uuid.uuid4().int}",
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
    ) + encode_dataset(dataset, EXPLICIT_VR_LITTLE_ENDIAN, [()])


def _scheduled_for(keys: DatasetKeys, ae_title: str) -> DatasetKeys:
    """Add to the keys of a query that a step is scheduled for an AE title."""
    tag = _SCHEDULED_STATION_AE_TITLE
    station = MatchingKey(
        tag, "ScheduledStationAETitle", "single", (ae_title.strip(" "),), case_sensitive=False
    )
    sequences = dict(keys.sequences)
    step = sequences.get(_SCHEDULED_PROCEDURE_STEP_SEQUENCE, DatasetKeys())
    sequences[_SCHEDULED_PROCEDURE_STEP_SEQUENCE] = replace(
        step, attributes=(*step.attributes, station)
    )
    return replace(keys, sequences=tuple(sequences.items()))

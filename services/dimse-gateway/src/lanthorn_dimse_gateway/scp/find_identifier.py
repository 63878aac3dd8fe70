"""What the identifier of a C-FIND asks: level, matching keys and return keys.

References
----------
DICOM PS3.4 Sections C.2.2, C.4.1.1.3 (identifier) and C.6 (information models).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pydicom.datadict import keyword_for_tag
from pynetdicom.sop_class import PatientStudyOnlyQueryRetrieveInformationModelFind

from lanthorn_core.dicom.dataset_matching import (
    MAX_KEYS,
    MAX_VALUES,
    DatasetKeys,
    MomentRange,
    moment_range,
    parse_keys,
)
from lanthorn_core.dicom.matching import (
    MatchingKey,
    is_text_indexed,
    parse_constraint,
    widen_times,
)
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import Header, scan_dataset
from lanthorn_core.dicom.summary import HeaderText
from lanthorn_core.dicom.tags import US_OR_SS, vr_of_tag
from lanthorn_core.errors import InvalidDataset, InvalidIdentifier, InvalidParameter
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery

SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
QUERY_RETRIEVE_LEVEL: Final = 0x0008_0052
RETRIEVE_AE_TITLE: Final = 0x0008_0054
INSTANCE_AVAILABILITY: Final = 0x0008_0056

_NEVER_MATCHED: Final = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        0x0008_0006,  # Language Code Sequence
        QUERY_RETRIEVE_LEVEL,
        0x0008_0053,  # Query/Retrieve View
        RETRIEVE_AE_TITLE,
        0x0008_0201,  # Timezone Offset From UTC
    }
)
_IDENTIFIER_ONLY: Final = frozenset(
    {QUERY_RETRIEVE_LEVEL, 0x0008_0053, RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY}
)
"""Attributes of queries and their answers, which no stored instance has."""
_LEVELS: Final[Mapping[str, Level]] = MappingProxyType(
    {
        "PATIENT": Level.PATIENT,
        "STUDY": Level.STUDY,
        "SERIES": Level.SERIES,
        "IMAGE": Level.INSTANCE,
        "INSTANCE": Level.INSTANCE,  # as Orthanc takes it
    }
)
_MOMENTS: Final[Mapping[int, int]] = MappingProxyType(
    {
        0x0008_0020: 0x0008_0030,  # Study Date and Time
        0x0008_0021: 0x0008_0031,  # Series
        0x0040_0244: 0x0040_0245,  # Performed Procedure Step Start
        0x0008_0012: 0x0008_0013,  # Instance Creation
    }
)
"""Dates and times that combined date-time matching takes as one."""


@dataclass(frozen=True, slots=True)
class ReturnKey:
    """An attribute that each answer shall have, empty if need be."""

    tag: int
    vr: str
    keyword: str


@dataclass(frozen=True, slots=True)
class FindIdentifier:
    """An identifier as read; `level_name` is how the peer wrote the level."""

    level: Level
    level_name: str
    return_keys: tuple[ReturnKey, ...]
    query: FindQuery
    private_creators: Mapping[int, str]

    @property
    def file_tags(self) -> tuple[int, ...]:
        """Attributes that only the files have."""
        return tuple(
            key.tag
            for key in self.return_keys
            if key.tag
            not in _NEVER_MATCHED | self.private_creators.keys() | {INSTANCE_AVAILABILITY}
            and not is_text_indexed(key.keyword, self.level)
        )


@dataclass(frozen=True, slots=True)
class FindRules:
    """How identifiers are read: Orthanc's `DefaultEncoding` and `CaseSensitivePN`."""

    default_encoding: str = "Latin1"
    case_sensitive_pn: bool = False


def parse_find_identifier(
    identifier: bytes,
    transfer_syntax_uid: str,
    sop_class_uid: str,
    rules: FindRules,
    *,
    combined_datetime: bool,
) -> FindIdentifier:
    """Read an identifier.

    Parameters
    ----------
    identifier : bytes
        The data set of the request.
    transfer_syntax_uid, sop_class_uid : str
        Those of its presentation context.
    rules : FindRules
        What the configuration says of matching.
    combined_datetime : bool
        Whether combined date-time matching was negotiated (PS3.4 Section C.5.1.1).

    Raises
    ------
    InvalidIdentifier
        It cannot be read, has no level that there is, wildcards where none may be, or a key with
        bytes that are none of its character set.
    InvalidParameter
        The information model lacks its level.
    """
    try:
        header = scan_dataset(identifier, transfer_syntax_uid)
    except InvalidDataset as error:
        raise InvalidIdentifier(f"The identifier cannot be read: {error}") from error
    if len(header.elements) > MAX_KEYS:
        raise InvalidIdentifier(f"The identifier has more than {MAX_KEYS} keys")
    text = HeaderText(header, rules.default_encoding, of_keys=True)
    level_name = (text.get(QUERY_RETRIEVE_LEVEL) or "").strip(" \0")
    level = _level(level_name, sop_class_uid)
    keys: dict[int, MatchingKey] = {}
    return_keys = []
    sequences = []
    creators = {}
    for tag in sorted(header.elements):
        if tag >> 16 < 0x0008 or not tag & 0xFFFF:  # command and file groups, group lengths
            continue
        vr = _vr(tag, header)
        if tag != SPECIFIC_CHARACTER_SET:
            return_keys.append(ReturnKey(tag, vr, _keyword(tag)))
        if _is_private_creator(tag):
            creators[tag] = text.get(tag) or ""
        elif vr == "SQ":
            sequences.append(tag)
        elif tag not in _NEVER_MATCHED and (value := text.get(tag)):
            key = _matching_key(tag, vr, value, level, rules)
            if key is not None:
                keys[tag] = key
    moments = _take_moments(keys, level) if combined_datetime else ()
    return FindIdentifier(
        level,
        level_name,
        tuple(return_keys),
        FindQuery(
            level=level,
            keys=tuple(widen_times(key) for key in keys.values()),
            moments=moments,
            items=_items(header, sequences, rules),
        ),
        creators,
    )


@lru_cache(maxsize=4096)
def _keyword(tag: int) -> str:
    return keyword_for_tag(tag)


def _level(name: str, sop_class_uid: str) -> Level:
    level = _LEVELS.get(name.upper())
    if level is None:
        raise InvalidIdentifier("Query/Retrieve Level is missing or none that there is")
    is_shallow = sop_class_uid == PatientStudyOnlyQueryRetrieveInformationModelFind
    if is_shallow and level.depth > Level.STUDY.depth:
        raise InvalidParameter("Patient/Study Only has no such Query/Retrieve Level")
    return level


def _vr(tag: int, header: Header) -> str:
    """Choose the VR of an attribute: that of the dictionary, or else as the peer writes it."""
    vr = vr_of_tag(tag)
    if vr == US_OR_SS:
        return "US"
    return header.elements[tag].vr or vr if vr == "UN" else vr


def _is_private_creator(tag: int) -> bool:
    return bool(tag >> 16 & 1) and 0x0010 <= tag & 0xFFFF <= 0x00FF


def _matching_key(
    tag: int, vr: str, value: str, level: Level, rules: FindRules
) -> MatchingKey | None:
    if tag == INSTANCE_AVAILABILITY and level is not Level.INSTANCE:
        return None
    if value.count("\\") >= MAX_VALUES:
        raise InvalidIdentifier(f"A key has more than {MAX_VALUES} values")
    if vr == "PN":
        value = value.rstrip("= ")  # empty component groups at the end (PS3.5 Section 6.2.1.1)
    key = parse_constraint(
        tag,
        value,
        case_sensitive=vr != "PN" or rules.case_sensitive_pn,
        empty_values=True,
    )
    # A range without ends is not DICOM; Orthanc finds everything by it.
    is_open = key.kind == "range" and not any(key.values)
    return None if key.kind == "universal" or is_open else key


def _take_moments(keys: dict[int, MatchingKey], level: Level) -> tuple[MomentRange, ...]:
    moments = []
    for date_tag, time_tag in _MOMENTS.items():
        date, time = keys.get(date_tag), keys.get(time_tag)
        if date is None or time is None or not date.kind == time.kind == "range":
            continue
        if is_text_indexed(date.keyword, level) and is_text_indexed(time.keyword, level):
            moments.append(moment_range(date, time))
            del keys[date_tag], keys[time_tag]
    return tuple(moments)


def _items(header: Header, tags: Sequence[int], rules: FindRules) -> DatasetKeys | None:
    """Read what sequences shall contain (PS3.4 Section C.2.2.2.6)."""
    if not tags:
        return None
    keys = parse_keys(
        dataset_of_header(header, only=tags),
        default_encoding=rules.default_encoding,
        case_sensitive_pn=rules.case_sensitive_pn,
        combined={},
    )
    return None if keys.is_universal else keys

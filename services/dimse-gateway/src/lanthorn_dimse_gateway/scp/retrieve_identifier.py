"""What the identifier of a C-MOVE or C-GET asks for.

References
----------
DICOM PS3.4 Sections C.4.2.2.1, C.4.3.2.1 (identifiers) and C.6 (information models).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.datadict import keyword_for_tag

from lanthorn_core.dicom.dataset_matching import MAX_VALUES
from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.dicom.scan import scan_dataset
from lanthorn_core.dicom.summary import HeaderText
from lanthorn_core.errors import InvalidDataset, InvalidIdentifier
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import FindQuery

_QUERY_RETRIEVE_LEVEL: Final = 0x0008_0052
_ACCESSION_NUMBER: Final = 0x0008_0050
_UNIQUE_KEYS: Final[Mapping[Level, int]] = MappingProxyType(
    {
        Level.PATIENT: 0x0010_0020,  # Patient ID
        Level.STUDY: 0x0020_000D,  # Study Instance UID
        Level.SERIES: 0x0020_000E,  # Series Instance UID
        Level.INSTANCE: 0x0008_0018,  # SOP Instance UID
    }
)
_KEYS: Final = (*_UNIQUE_KEYS.values(), _ACCESSION_NUMBER)
_LEVEL_NAMES: Final[Mapping[str, Level]] = MappingProxyType(
    {
        "PATIENT": Level.PATIENT,
        "STUDY": Level.STUDY,
        "SERIES": Level.SERIES,
        "IMAGE": Level.INSTANCE,
        "INSTANCE": Level.INSTANCE,  # as Orthanc takes it
    }
)


def parse_retrieve_identifier(
    identifier: bytes,
    transfer_syntax_uid: str,
    default_encoding: str,
    *,
    level_required: bool,
    deepest: Level = Level.INSTANCE,
) -> FindQuery:
    r"""Read an identifier as the question which resources are wanted.

    Parameters
    ----------
    identifier : bytes
        The data set of the request.
    transfer_syntax_uid : str
        That of its presentation context.
    default_encoding : str
        Orthanc's `DefaultEncoding`, for identifiers that name no character set.
    level_required : bool
        Whether Query/Retrieve Level (0008,0052) must be there; else it follows from the lowest
        unique key, as in Orthanc's C-MOVE.
    deepest : Level
        The lowest level of the information model. Upper ones are taken in all models, as Orthanc
        does: Study Root has its patients, too.

    Returns
    -------
    FindQuery
        At the level of the request. Its keys are the unique key of the level, which may be a list
        with ``\``, and those unique keys of upper levels that are given. A study may be named by
        its Accession Number (0008,0050) instead.

    Raises
    ------
    InvalidIdentifier
        It cannot be read, names no level of the model, lacks the unique key of its level, or has a
        key with bytes that are none of its character set: A900 in PS3.4 Tables C.4-2 and C.4-3.
    """
    try:
        header = scan_dataset(identifier, transfer_syntax_uid)
        text = HeaderText(header, default_encoding, of_keys=True)
        values = {
            tag: _values(text.get(tag)) for tag in (*_UNIQUE_KEYS.values(), _ACCESSION_NUMBER)
        }
        level_name = (text.get(_QUERY_RETRIEVE_LEVEL) or "").strip(" \0").upper()
    except InvalidDataset as error:
        raise InvalidIdentifier(f"The identifier cannot be read: {error}") from error
    level = _level(level_name, values, required=level_required)
    if level.depth > deepest.depth:
        raise InvalidIdentifier("The information model has no such Query/Retrieve Level")
    own_tag = _UNIQUE_KEYS[level]
    if level is Level.STUDY and not values[own_tag]:
        own_tag = _ACCESSION_NUMBER
    if not values[own_tag]:
        raise InvalidIdentifier(f"No {keyword_for_tag(_UNIQUE_KEYS[level])} in the identifier")
    above = [_UNIQUE_KEYS[upper] for upper in LEVELS[: level.depth] if values[_UNIQUE_KEYS[upper]]]
    return FindQuery(
        level=level,
        keys=tuple(
            MatchingKey(tag, keyword_for_tag(tag), "single", values[tag])
            for tag in (*above, own_tag)
        ),
    )


def _level(name: str, values: Mapping[int, tuple[str, ...]], *, required: bool) -> Level:
    if name:
        try:
            return _LEVEL_NAMES[name]
        except KeyError:
            raise InvalidIdentifier("Query/Retrieve Level is none of the model") from None
    if required:
        raise InvalidIdentifier("No Query/Retrieve Level in the identifier")
    for level in reversed(LEVELS):
        if values[_UNIQUE_KEYS[level]]:
            return level
    if values[_ACCESSION_NUMBER]:
        return Level.STUDY
    raise InvalidIdentifier("No unique key in the identifier")


def _values(text: str | None) -> tuple[str, ...]:
    r"""Split a list of unique keys; empty for none, and for `*`, which chooses nothing."""
    text = text or ""
    if text.count("\\") >= MAX_VALUES:
        raise InvalidIdentifier(f"A key has more than {MAX_VALUES} values")
    found = (value.strip(" \0") for value in text.split("\\"))
    return tuple(value for value in found if value and value != "*")

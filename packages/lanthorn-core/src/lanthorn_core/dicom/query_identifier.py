"""Identifiers of C-FIND as requestor: which keys a remote AE is asked for, and their bytes.

References
----------
DICOM PS3.4 Sections C.2.2 and C.6, Annex K. What is left out and rewritten for which manufacturer
was observed on Orthanc 1.13.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pydicom.config
from pydicom import DataElement, Dataset

from lanthorn_core.dicom.dataset_writing import DEFINED_TERMS, encode_dataset
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.dicom.modules import MODULE_TAGS
from lanthorn_core.dicom.tags import US_OR_SS, format_tag, parse_tag, vr_of_tag
from lanthorn_core.errors import InvalidDataset, InvalidParameter, UnknownTag

Keys = Mapping[int, str]
"""Keys of an identifier: tags and texts, empty for return keys."""

PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
"""Patient Root Query/Retrieve Information Model - FIND (PS3.4 Section C.6.1)."""
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND (PS3.4 Section C.6.2)."""
WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND (PS3.4 Section K.6.1)."""

SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
ACCESSION_NUMBER: Final = 0x0008_0050
QUERY_RETRIEVE_LEVEL: Final = 0x0008_0052
PATIENT_ID: Final = 0x0010_0020
STUDY_INSTANCE_UID: Final = 0x0020_000D
SERIES_INSTANCE_UID: Final = 0x0020_000E
SOP_INSTANCE_UID: Final = 0x0008_0018

LEVEL_TERMS: Final[Mapping[str, str]] = {
    "Patient": "PATIENT",
    "Study": "STUDY",
    "Series": "SERIES",
    "Instance": "IMAGE",
}
"""Query/Retrieve Level (0008,0052) of each level (PS3.4 Section C.6.1.1)."""

REQUIRED: Final[Mapping[str, tuple[int, ...]]] = {
    "Patient": (PATIENT_ID,),
    "Study": (PATIENT_ID, ACCESSION_NUMBER, STUDY_INSTANCE_UID),
    "Series": (PATIENT_ID, ACCESSION_NUMBER, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
    "Instance": (
        *(PATIENT_ID, ACCESSION_NUMBER, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
        SOP_INSTANCE_UID,
    ),
}
"""Keys that every query of a level has, by the client or by us."""

_COUNTED: Final[Mapping[str, frozenset[int]]] = {
    # Number of Patient Related Studies, Series, Instances.
    "Patient": frozenset({0x0020_1200, 0x0020_1202, 0x0020_1204}),
    # Modalities and SOP Classes in Study, Number of Study Related Series and Instances.
    "Study": frozenset({0x0008_0061, 0x0008_0062, 0x0020_1206, 0x0020_1208}),
    "Series": frozenset({0x0020_1209}),  # Number of Series Related Instances
    "Instance": frozenset(),
}
_LEVELS: Final = tuple(LEVEL_TERMS)
_UNIVERSAL: Final = "*"
_INTEGER_VRS: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_FLOAT_VRS: Final = frozenset({"FL", "FD"})
_BYTES_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}")
_DEEPEST: Final = 16


def normalized(keys: Keys, level: str) -> dict[int, str]:
    """Leave out the keys that do not belong to a level or one above it.

    Parameters
    ----------
    keys : mapping
        What the client asked for.
    level : str
        Name of the level, as in `LEVEL_TERMS`.
    """
    allowed = {SPECIFIC_CHARACTER_SET} | _COUNTED[level]
    for name in _LEVELS[: _LEVELS.index(level) + 1]:
        allowed |= MODULE_TAGS[name]
    return {tag: text for tag, text in keys.items() if tag in allowed}


def completed(keys: Keys, level: str, manufacturer: str) -> dict[int, str]:
    """Rewrite keys for a manufacturer, and add the level with the keys that it requires.

    Parameters
    ----------
    keys : mapping
        What shall be asked for.
    level : str
        Name of the level, as in `LEVEL_TERMS`.
    manufacturer : str
        As in the configuration of a remote AE.
    """
    asked = {tag: text for tag, text in keys.items() if tag >> 16 > 0x0002}
    if manufacturer == "GenericNoUniversalWildcard":
        asked = {tag: "" if text == _UNIVERSAL else text for tag, text in asked.items()}
    elif manufacturer == "GenericNoWildcardInDates":
        asked = {
            tag: "" if text == _UNIVERSAL and vr_of_tag(tag) == "DA" else text
            for tag, text in asked.items()
        }
    anything = _UNIVERSAL if manufacturer == "GE" else ""
    for tag in REQUIRED[level]:
        asked.setdefault(tag, anything)
    return asked | {QUERY_RETRIEVE_LEVEL: LEVEL_TERMS[level]}


def dataset_of_keys(keys: Keys) -> Dataset:
    """Make a data set of plain keys.

    Raises
    ------
    InvalidParameter
        A text is none that the VR of its tag can hold.
    """
    dataset = Dataset()
    for tag, text in keys.items():
        _add(dataset, tag, text)
    return dataset


def dataset_of_json(document: Mapping[str, Any]) -> Dataset:
    """Make a data set of a client's JSON: tags as it writes them, texts, numbers, sequences.

    Raises
    ------
    UnknownTag
        A name is none of a tag.
    InvalidParameter
        A value is none that the VR of its tag can hold.
    """
    return _dataset_of_json(document, 0)


def _dataset_of_json(document: Mapping[str, Any], depth: int) -> Dataset:
    if depth > _DEEPEST:
        raise InvalidParameter("The sequences are nested too deep")
    dataset = Dataset()
    for name, value in document.items():
        tag = parse_tag(name)
        if isinstance(value, list):
            if not all(isinstance(item, Mapping) for item in value):
                raise InvalidParameter(f"Expected objects in field: {name}")
            _add(dataset, tag, "", [_dataset_of_json(item, depth + 1) for item in value])
        elif value is None or (
            isinstance(value, str | int | float) and not isinstance(value, bool)
        ):
            _add(dataset, tag, "" if value is None else str(value))
        else:
            raise InvalidParameter(f"Expected a string in field: {name}")
    return dataset


def _add(dataset: Dataset, tag: int, text: str, items: Sequence[Dataset] = ()) -> None:
    vr = vr_of_tag(tag)
    if vr == US_OR_SS:
        vr = "US"
    if text if vr == "SQ" else items:
        raise InvalidParameter(f"The value of tag {format_tag(tag)} does not fit")
    try:
        value: Any = list(items) if vr == "SQ" else _value(vr, text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset[tag] = DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    except (ValueError, TypeError, OverflowError, UnknownTag) as error:
        raise InvalidParameter(f"The value of tag {format_tag(tag)} does not fit") from error


def _value(vr: str, text: str) -> Any:
    if vr in _BYTES_VRS:
        return text.encode()
    read = _reader_of(vr)
    if read is None:
        return text
    if text in {"", _UNIVERSAL}:  # a number has no wild card, and no value matches all the same
        return None
    numbers = [read(part.strip()) for part in text.split("\\")]
    return numbers[0] if len(numbers) == 1 else numbers


def _reader_of(vr: str) -> Callable[[str], Any] | None:
    if vr in _INTEGER_VRS:
        return _integer
    if vr in _FLOAT_VRS:
        return float
    if vr == "AT":
        return parse_tag
    return str if vr in {"DS", "IS"} else None


def _integer(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def encode_identifier(dataset: Dataset, default_encoding: str) -> bytes:
    """Write an identifier in Explicit VR Little Endian.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Texts are Unicode. The character set is the one that it names, if that has all characters,
        else that of `default_encoding`, else UTF-8.
    default_encoding : str
        Orthanc's `DefaultEncoding`.

    Raises
    ------
    InvalidParameter
        A value cannot be written.
    """
    named = dataset.get("SpecificCharacterSet")
    sets: list[Sequence[str]] = [DEFINED_TERMS[default_encoding]]
    if named:
        sets.insert(0, [named] if isinstance(named, str) else list(named))
    try:
        return encode_dataset(dataset, EXPLICIT_VR_LITTLE_ENDIAN, sets)
    except InvalidDataset as error:
        raise InvalidParameter(f"The query cannot be written: {error}") from error

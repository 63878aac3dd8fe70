"""From a data set with Unicode texts to the bytes of a message or a file.

References
----------
DICOM PS3.3 Section C.12.1.1.2 (Specific Character Set), PS3.5 Chapter 7.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Final

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from lanthorn_core.dicom.charset import CODEC_OF_DEFINED_TERM
from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE, encoding_of
from lanthorn_core.errors import InvalidDataset

UNICODE: Final = ("ISO_IR 192",)

DEFINED_TERMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Ascii": (),
        "Utf8": UNICODE,
        "Latin1": ("ISO_IR 100",),
        "Latin2": ("ISO_IR 101",),
        "Latin3": ("ISO_IR 109",),
        "Latin4": ("ISO_IR 110",),
        "Latin5": ("ISO_IR 148",),
        "Cyrillic": ("ISO_IR 144",),
        "Windows1251": ("ISO_IR 144",),
        "Arabic": ("ISO_IR 127",),
        "Greek": ("ISO_IR 126",),
        "Hebrew": ("ISO_IR 138",),
        "Thai": ("ISO_IR 166",),
        "Japanese": ("ISO_IR 13",),
        "Chinese": ("GB18030",),
        "JapaneseKanji": ("", "ISO 2022 IR 87"),
        "Korean": ("", "ISO 2022 IR 149"),
        "SimplifiedChinese": ("", "ISO 2022 IR 58"),
    }
)
"""Specific Character Set (0008,0005) for each value of `DefaultEncoding`."""

_UNICODE_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Those that Specific Character Set is about (PS3.5 Section 6.1.2.2)."""


def encode_dataset(
    dataset: Dataset, transfer_syntax_uid: str, character_sets: Sequence[Sequence[str]]
) -> bytes:
    """Write a data set in the first of some character sets that has all of its characters.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Its texts are Unicode; its Specific Character Set (0008,0005) becomes the one chosen, and
        is left out for plain ASCII.
    transfer_syntax_uid : str
        A native one.
    character_sets : sequence of sequence of str
        Defined terms, by preference; after the last comes UTF-8, which has everything.

    Raises
    ------
    InvalidDataset
        A value is none that its VR can hold, or half a character.
    """
    characters = set("".join(_texts(dataset)))
    chosen = next((terms for terms in character_sets if _has_all(terms, characters)), UNICODE)
    try:
        return _encode(dataset, transfer_syntax_uid, chosen)
    except Exception as error:  # pydicom raises what its parts raise
        raise InvalidDataset(f"a value cannot be written: {type(error).__name__}") from error


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _UNICODE_VRS and element.value is not None:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            yield from map(str, values)


def _has_all(terms: Sequence[str], characters: Set[str]) -> bool:
    """Tell whether character sets have characters between them; ASCII they all have."""
    missing = {character for character in characters if not character.isascii()}
    for term in terms:
        if term and term not in CODEC_OF_DEFINED_TERM:
            return False
        if term:
            missing -= {character for character in missing if _has(term, character)}
    return not missing


def _has(term: str, character: str) -> bool:
    try:
        encoded = character.encode(CODEC_OF_DEFINED_TERM[term])
    except UnicodeEncodeError:
        return False
    # The codec of JIS X 0201 also knows Kanji, by two bytes that belong to another set.
    return len(encoded) == 1 or not term.endswith("IR 13")


def _encode(dataset: Dataset, transfer_syntax_uid: str, terms: Sequence[str]) -> bytes:
    encoding = encoding_of(transfer_syntax_uid) or EXPLICIT_LITTLE
    dataset.pop("SpecificCharacterSet", None)
    if terms:
        dataset.SpecificCharacterSet = terms[0] if len(terms) == 1 else list(terms)
    stream = DicomBytesIO()
    stream.is_implicit_VR = encoding.implicit
    stream.is_little_endian = encoding.little_endian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(stream, dataset)
    return stream.getvalue()

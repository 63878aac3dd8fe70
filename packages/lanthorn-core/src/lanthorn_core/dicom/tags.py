"""Tags: reading them as clients write them, writing and naming them as Orthanc does.

References
----------
DICOM PS3.6 Chapters 6 to 9, PS3.5 Section 7.8 (private tags). Orthanc takes its names from
DCMTK's dictionaries; where pydicom's differ, ``public_tags.tsv`` and ``private_tags.tsv`` tell.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from pydicom.datadict import (
    dictionary_is_retired,
    dictionary_VR,
    keyword_for_tag,
    tag_for_keyword,
)

from lanthorn_core.errors import UnknownTag

UNKNOWN_NAME: Final = "Unknown Tag & Data"
_RETIRED: Final = "RETIRED_"
_NUMERIC: Final = re.compile(r"([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4})")
_FIRST_PRIVATE_GROUP: Final = 0x0009
US_OR_SS: Final = "US or SS"
"""What `vr_of_tag` says of tags whose VR depends on Pixel Representation (PS3.5 Section 6.2)."""
_OWN_GROUP_LENGTHS: Final = {
    0x0000_0000: "CommandGroupLength",
    0x0002_0000: "FileMetaInformationGroupLength",
}


class _Entry(NamedTuple):
    vr: str
    name: str


def format_tag(tag: int) -> str:
    """Write a tag as Orthanc's keys have it, ``gggg,eeee`` in lower case."""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


@lru_cache(maxsize=4096)
def parse_tag(text: str) -> int:
    """Read a tag as clients write it.

    Parameters
    ----------
    text : str
        A keyword of PS3.6 (``PatientName``), with or without Orthanc's ``RETIRED_``;
        ``gggg,eeee``, ``gggg-eeee`` or ``ggggeeee``.

    Raises
    ------
    UnknownTag
        It is none of these; the text of the error is what was given, as in Orthanc.
    """
    numeric = _NUMERIC.fullmatch(text)
    if numeric:
        return int(numeric[1] + numeric[2], 16)
    keyword = text.removeprefix(_RETIRED)
    tag = _tag_of_public_name().get(text) or tag_for_keyword(keyword)
    if tag is None or not keyword:
        raise UnknownTag(text)
    return tag


@lru_cache(maxsize=16384)
def tag_name(tag: int, private_creator: str | None = None) -> str:
    """Name a tag as Orthanc does.

    Parameters
    ----------
    tag : int
        Group in the upper, element in the lower 16 bits.
    private_creator : str, optional
        Who reserved the block of a private tag.

    Returns
    -------
    str
        A keyword, with ``RETIRED_`` before it if it is retired; ``Unknown Tag & Data`` if there
        is none.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1:
        return _private_name(group, element, private_creator)
    if not element:
        return _OWN_GROUP_LENGTHS.get(tag, "GenericGroupLength")
    entry = _public_entries().get(tag)
    if entry is not None:
        return entry.name
    keyword = keyword_for_tag(tag)
    if not keyword:
        return UNKNOWN_NAME
    return f"{_RETIRED}{keyword}" if dictionary_is_retired(tag) else keyword


@lru_cache(maxsize=16384)
def vr_of_tag(tag: int, private_creator: str | None = None) -> str:
    """Return the dictionary's VR of a tag.

    Parameters
    ----------
    tag : int
        Group in the upper, element in the lower 16 bits.
    private_creator : str, optional
        Who reserved the block of a private tag.

    Returns
    -------
    str
        `UN` for unknown tags, `US_OR_SS` where Pixel Representation decides, `OW` where a table
        or pixels are bytes or words.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if not element:
        return "UL"
    if group & 1:
        if 0x0010 <= element <= 0x00FF:
            return "LO"
        private = _private_entry(group, element, private_creator)
        return "UN" if private is None else private.vr
    entry = _public_entries().get(tag)
    if entry is not None:
        return entry.vr
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return "OW" if vr.endswith(" OW") else vr


def _private_name(group: int, element: int, private_creator: str | None) -> str:
    prefix = "Private" if group >= _FIRST_PRIVATE_GROUP else "Illegal"
    if not element:
        return f"{prefix}GroupLength"
    if 0x0010 <= element <= 0x00FF:
        return "PrivateCreator" if prefix == "Private" else "IllegalPrivateCreator"
    entry = _private_entry(group, element, private_creator)
    return UNKNOWN_NAME if entry is None else entry.name


def _private_entry(group: int, element: int, private_creator: str | None) -> _Entry | None:
    if private_creator is None:
        return None
    candidates = _private_entries().get(private_creator, {})
    for number, fixed in ((f"{element:04x}", True), (f"{element & 0xFF:02x}", False)):
        if not fixed and element < 0x1000:
            continue
        for groups, entry in candidates.get(number, ()):
            if group in groups:
                return entry
    return None


def _rows(name: str) -> list[list[str]]:
    text = files("lanthorn_core.dicom").joinpath(name).read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


@cache
def _public_entries() -> dict[int, _Entry]:
    return {int(tag, 16): _Entry(vr, name) for tag, vr, name in _rows("public_tags.tsv")}


@cache
def _tag_of_public_name() -> dict[str, int]:
    return {entry.name: tag for tag, entry in _public_entries().items()}


@cache
def _private_entries() -> dict[str, dict[str, list[tuple[range, _Entry]]]]:
    """By creator, then by element in hexadecimal: the groups it may be in, and what it is."""
    entries: dict[str, dict[str, list[tuple[range, _Entry]]]] = {}
    for creator, groups, element, vr, name in _rows("private_tags.tsv"):
        first, _, last = groups.partition("-")
        span = range(int(first, 16), int(last or first, 16) + 1)
        entries.setdefault(creator, {}).setdefault(element, []).append((span, _Entry(vr, name)))
    return entries

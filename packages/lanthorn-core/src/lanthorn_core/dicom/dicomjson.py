"""Data sets as DICOM JSON.

References
----------
DICOM PS3.18 Annex F. Where the standard leaves a choice, and in VR OW, OL, OV, OF and OD outside
of Pixel Data, this follows what was observed on Orthanc 1.13.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from array import array
from collections.abc import Iterable
from typing import Any, Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from lanthorn_core.dicom.elementcontext import (
    Context,
    Element,
    context_of,
    creator_of,
    items_of,
    text_of_element,
    vr_of_element,
)
from lanthorn_core.dicom.tags import vr_of_tag
from lanthorn_core.dicom.values import TEXT_VRS, is_known
from lanthorn_core.errors import InvalidDataset

_PIXEL_DATA: Final = 0x7FE0_0010
_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
_UNDEFINED: Final = 0xFFFF_FFFF
_NUMBER_CODES: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
    "OW": "H", "OL": "L", "OV": "Q", "OF": "f", "OD": "d",
}  # fmt: skip
_PALETTE_DESCRIPTORS: Final = frozenset({0x0028_1101, 0x0028_1102, 0x0028_1103})
"""US or SS, of which Implicit VR does not tell; counts and bits of a table are not negative."""
_PERSON_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
"""More digits would not fit into the 64 bits that our JSON encoder knows."""
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def to_dicom_json(dataset: Dataset, *, default_encoding: str) -> dict[str, Any]:
    """Render a data set as DICOM JSON.

    Encapsulated Pixel Data and group lengths are left out; native Pixel Data becomes
    ``InlineBinary``, in little endian.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Elements not converted yet are rendered from their bytes, so that a wrong value costs
        only itself: what is no number is left out, not-a-number and infinity become null.
    default_encoding : str
        Orthanc's option `DefaultEncoding`, for data sets that name no character set.

    Returns
    -------
    dict
        ``{"00100010": {"vr": "PN", "Value": [{"Alphabetic": ...}]}, ...}``, by ascending tag.
        IS are numbers and DS strings (PS3.18 Section F.2.2 allows both).

    Raises
    ------
    InvalidDataset
        Sequences are nested too deep.
    """
    try:
        return _dataset(dataset, None, default_encoding)
    except RecursionError:
        raise InvalidDataset("sequences are nested too deep") from None


def _dataset(dataset: Dataset, outer: Context | None, default_encoding: str) -> dict[str, Any]:
    context = context_of(dataset, outer, default_encoding)
    answer: dict[str, Any] = {}
    for key in sorted(dataset.keys()):
        tag = int(key)
        if not tag & 0xFFFF:
            continue
        element = dataset.get_item(tag, keep_deferred=True)
        creator = creator_of(tag, context)
        vr = vr_of_element(element, creator, context)
        if element.VR is None and tag in _PALETTE_DESCRIPTORS:
            vr = "US"
        elif vr == "UN":
            # A text that passed through somebody who did not know its tag is still a text.
            known = vr_of_tag(tag, creator)
            vr = known if known in TEXT_VRS else vr
        rendered: dict[str, Any] | None
        if vr == "SQ":
            items = [
                _dataset(item, context, default_encoding) for item in items_of(dataset, tag) or ()
            ]
            rendered = {"Value": items} if items else {}
        else:
            rendered = _leaf(element, vr, creator, context)
        if rendered is not None:
            answer[f"{tag:08X}"] = {"vr": vr if is_known(vr) else "UN", **rendered}
    return answer


def _leaf(
    element: Element, vr: str, creator: str | None, context: Context
) -> dict[str, Any] | None:
    """Render a value; None when the element has no place in DICOM JSON."""
    if element.tag == _PIXEL_DATA and _is_encapsulated(element):
        return None
    if vr in TEXT_VRS:
        text = text_of_element(element, vr, context.decoder, creator)
        return {"Value": _texts(int(element.tag), vr, text)} if text else {}
    if not element.value and element.value != 0:
        return {}
    if element.tag != _PIXEL_DATA and (vr in _NUMBER_CODES or vr == "AT"):
        values = _numbers(element, vr)
        return {"Value": values} if values else {}
    value = element.value
    if not isinstance(value, bytes):
        return {}
    if vr == "OW" and isinstance(element, RawDataElement) and not element.is_little_endian:
        words = array("H", value[: len(value) // 2 * 2])
        words.byteswap()
        value = words.tobytes()
    return {"InlineBinary": base64.b64encode(value).decode("ascii")}


def _is_encapsulated(element: Element) -> bool:
    if isinstance(element, RawDataElement):
        return element.length == _UNDEFINED
    return element.is_undefined_length


def _texts(tag: int, vr: str, text: str) -> list[Any]:
    values = text.split("\\")
    if tag == _SPECIFIC_CHARACTER_SET:
        return [value for value in values if value]
    if vr == "PN":
        return [_person_name(value) for value in values]
    if vr not in ("IS", "DS"):
        return [value or None for value in values]
    stripped = [value.strip(" ") for value in values]
    if vr == "DS":
        return [value or None for value in stripped if not value or _DECIMAL.fullmatch(value)]
    return [
        int(value) if value else None
        for value in stripped
        if not value or _INTEGER.fullmatch(value)
    ]


def _person_name(value: str) -> dict[str, str]:
    if not value:
        return {}
    return dict(zip(_PERSON_NAME_GROUPS, value.split("="), strict=False))


def _numbers(element: Element, vr: str) -> list[Any]:
    value = element.value
    if isinstance(value, bytes):
        order = "<"
        if isinstance(element, RawDataElement) and not element.is_little_endian:
            order = ">"
        code = "H" if vr == "AT" else _NUMBER_CODES[vr]
        size = struct.calcsize(f"={code}")
        numbers: Iterable[Any] = struct.unpack_from(f"{order}{len(value) // size}{code}", value)
        if vr == "AT":
            words = list(numbers)
            numbers = [
                group << 16 | number for group, number in zip(words[::2], words[1::2], strict=False)
            ]
    else:
        numbers = value if isinstance(value, Iterable) else [value]
    if vr == "AT":
        return [f"{int(number):08X}" for number in numbers]
    return [_json_number(number) for number in numbers]


def _json_number(value: Any) -> int | float | None:
    """Return what JSON can hold of a number; whole ones are written without a fraction."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return int(value)

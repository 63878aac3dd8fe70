"""What one element of a data set needs to know of the others, and its value as text.

References
----------
DICOM PS3.5 Sections 6.1.2 (character sets), 6.2 (VRs) and 7.8 (private creators).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from lanthorn_core.dicom.charset import TextDecoder, decoder_for
from lanthorn_core.dicom.tags import US_OR_SS, format_tag, vr_of_tag
from lanthorn_core.dicom.values import (
    TEXT_VRS,
    is_textual,
    number_text,
    resolve_us_or_ss,
    text_of_value,
)

Element = DataElement | RawDataElement
_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
_PIXEL_REPRESENTATION: Final = 0x0028_0103


class Context(NamedTuple):
    """What the elements of a data set need to know of it, and of the one around it."""

    decoder: TextDecoder
    pixel_representation: str | None
    creators: dict[int, str]


def context_of(
    dataset: Dataset,
    outer: Context | None,
    default_encoding: str,
    *,
    of_keys: bool = False,
) -> Context:
    """Find out what the elements of a data set, or of an item within `outer`, need to know."""
    ascii_only = decoder_for(None, "Ascii")
    decoder = outer.decoder if outer else decoder_for(None, default_encoding, of_keys=of_keys)
    if _SPECIFIC_CHARACTER_SET in dataset:
        terms = text_of_element(
            dataset.get_item(_SPECIFIC_CHARACTER_SET, keep_deferred=True), "CS", ascii_only
        )
        decoder = decoder_for(terms, default_encoding, of_keys=of_keys)
    pixel_representation = outer.pixel_representation if outer else None
    if _PIXEL_REPRESENTATION in dataset:
        element = dataset.get_item(_PIXEL_REPRESENTATION, keep_deferred=True)
        pixel_representation = text_of_element(element, "US", ascii_only)
    creators = {}
    for key in dataset.keys():  # noqa: SIM118 (iterating a Dataset converts its elements)
        tag = int(key)
        if tag >> 16 & 1 and 0x0010 <= tag & 0xFFFF <= 0x00FF:
            element = dataset.get_item(tag, keep_deferred=True)
            # DCMTK does not look for creators in values of unknown type.
            if element.VR in (None, "LO"):
                creators[tag] = text_of_element(element, "LO", decoder) or ""
    return Context(decoder, pixel_representation, creators)


def creator_of(tag: int, context: Context) -> str | None:
    """Return who reserved the block of a private tag, None when nobody did."""
    if not tag >> 16 & 1 or tag & 0xFFFF < 0x1000:
        return None
    return context.creators.get(tag & 0xFFFF_0000 | (tag & 0xFFFF) >> 8)


def vr_of_element(element: Element, creator: str | None, context: Context) -> str:
    """Return the VR as written, or that of the dictionary in Implicit VR."""
    if element.VR is not None:
        return str(element.VR)
    tag = int(element.tag)
    vr = vr_of_tag(tag, creator)
    return resolve_us_or_ss(tag, context.pixel_representation) if vr == US_OR_SS else vr


def items_of(dataset: Dataset, tag: int) -> Iterable[Dataset] | None:
    """Return the items of a sequence, None when pydicom cannot read them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            items = dataset[tag].value
    except RecursionError:
        raise
    except Exception:  # pydicom raises what its parts raise
        return None
    # A private sequence that only DCMTK's dictionary knows is bytes for pydicom.
    return items if isinstance(items, Sequence) else None


def text_of_element(
    element: Element, vr: str, decoder: TextDecoder, creator: str | None = None
) -> str | None:
    """Write a value as text; None when it has none."""
    if not isinstance(element, RawDataElement):
        return text_of_converted(vr, element.value)
    value = element.value or b""
    if vr == "UN":
        vr = vr_of_tag(int(element.tag), creator)
        if vr not in TEXT_VRS:
            return None
        return decoder.decode(value[:-1] if value.endswith(b"\0") else value)
    return text_of_value(vr, value, little_endian=element.is_little_endian, decoder=decoder)


def text_of_converted(vr: str, value: Any) -> str | None:
    """Write a value that somebody made or converted."""
    if not is_textual(vr):
        return None
    if value is None:
        return "" if vr in TEXT_VRS or vr == "AT" else None
    if isinstance(value, (list, MultiValue)):
        texts = [text_of_converted(vr, one) or "" for one in value]
        return "\\".join(texts)
    if vr == "AT":
        return format_tag(int(value))
    if isinstance(value, bytes):
        return value.decode("latin-1").rstrip(" \0")
    if vr in ("FL", "FD", "OF", "OD"):
        return number_text(value)
    if vr in ("DS", "IS"):
        return str(getattr(value, "original_string", value))
    return str(value)

"""Data sets as Orthanc's JSON: full, short and simplified.

References
----------
Orthanc's ``/instances/{id}/tags`` and ``/simplified-tags``; the rules were observed on Orthanc
1.13.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any, Final, Literal, NamedTuple

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from lanthorn_core.dicom.charset import TextDecoder, decoder_for
from lanthorn_core.dicom.tags import US_OR_SS, format_tag, tag_name, vr_of_tag
from lanthorn_core.dicom.values import (
    MAX_TEXT_BYTES,
    TEXT_VRS,
    is_known,
    is_textual,
    number_text,
    resolve_us_or_ss,
    text_of_value,
)
from lanthorn_core.errors import InvalidDataset

Style = Literal["full", "short", "simplify"]

_Element = DataElement | RawDataElement
_PIXEL_DATA: Final = 0x7FE0_0010
_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
_PIXEL_REPRESENTATION: Final = 0x0028_0103


def to_orthanc_json(
    dataset: Dataset,
    *,
    style: Style,
    default_encoding: str,
    ignore_length: Collection[int] = frozenset(),
    whole: bool = False,
    pixel_data: bool = False,
) -> dict[str, Any]:
    """Render a data set as Orthanc does.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Elements not converted yet are rendered from their bytes, which keeps text as it is and
        cannot fail on wrong values.
    style : {"full", "short", "simplify"}
        ``{"0010,0010": {"Name": ..., "Type": ..., "Value": ...}}``, ``{"0010,0010": ...}`` or
        ``{"PatientName": ...}``.
    default_encoding : str
        Orthanc's option `DefaultEncoding`.
    ignore_length : collection of int
        Tags that are shown however long they are.
    whole : bool
        Whether to show what follows Pixel Data (7fe0,0010).
    pixel_data : bool
        Whether to show Pixel Data, without a value, although the data set was read without it.

    Raises
    ------
    InvalidDataset
        Sequences are nested too deep.
    """
    renderer = _Renderer(style, frozenset(ignore_length), default_encoding)
    try:
        answer = renderer.dataset(dataset, None, last=None if whole else _PIXEL_DATA)
    except RecursionError:
        raise InvalidDataset("sequences are nested too deep") from None
    if pixel_data and _PIXEL_DATA not in dataset:
        pixels = Dataset()
        pixels.add_new(_PIXEL_DATA, "OW", None)
        answer |= renderer.dataset(pixels, None, last=None)
    return answer


def file_meta_to_orthanc_json(file_meta: Dataset, *, style: Style) -> dict[str, Any]:
    """Render File Meta Information as Orthanc's ``/instances/{id}/header``, without binary values.

    Parameters
    ----------
    file_meta : pydicom.Dataset
        Group 0002 of a file.
    style : {"full", "short", "simplify"}
        As for `to_orthanc_json`.
    """
    binary = {tag for tag in file_meta.keys() if file_meta.get_item(tag).VR in ("OB", "UN")}  # noqa: SIM118
    shown = Dataset({tag: file_meta.get_item(tag) for tag in file_meta.keys() - binary})
    return to_orthanc_json(shown, style=style, default_encoding="Ascii")


def simplify(element: dict[str, Any]) -> Any:
    """Turn an element of the full style into its simplified value.

    Parameters
    ----------
    element : dict
        ``{"Name": ..., "Type": ..., "Value": ...}``.
    """
    value = element["Value"]
    if element["Type"] != "Sequence":
        return value
    return [{inner["Name"]: simplify(inner) for inner in item.values()} for item in value]


class _Context(NamedTuple):
    """What the elements of a data set need to know of it, and of the one around it."""

    decoder: TextDecoder
    pixel_representation: str | None
    creators: dict[int, str]


class _Renderer:
    def __init__(self, style: Style, ignore_length: frozenset[int], default_encoding: str) -> None:
        self._style = style
        self._ignore_length = ignore_length
        self._default_encoding = default_encoding

    def dataset(
        self, dataset: Dataset, outer: _Context | None, *, last: int | None
    ) -> dict[str, Any]:
        context = self._context(dataset, outer)
        answer: dict[str, Any] = {}
        for key in sorted(dataset.keys()):
            tag = int(key)
            if last is not None and tag > last:
                break
            creator = None
            if tag >> 16 & 1 and tag & 0xFFFF >= 0x1000:
                creator = context.creators.get(tag & 0xFFFF_0000 | (tag & 0xFFFF) >> 8)
            element = dataset.get_item(tag, keep_deferred=True)
            vr = _vr(element, creator, context)
            kind, value = self._value(dataset, element, vr, creator, context)
            name = tag_name(tag, creator)
            if self._style == "short":
                answer[format_tag(tag)] = value
            elif self._style == "simplify":
                answer[name] = value
            else:
                full = {"Name": name, "Type": kind, "Value": value}
                if creator is not None and vr != "SQ" and is_known(vr):
                    full["PrivateCreator"] = creator
                answer[format_tag(tag)] = full
        return answer

    def _context(self, dataset: Dataset, outer: _Context | None) -> _Context:
        ascii_only = decoder_for(None, "Ascii")
        decoder = outer.decoder if outer else decoder_for(None, self._default_encoding)
        if _SPECIFIC_CHARACTER_SET in dataset:
            terms = _text_of_element(
                dataset.get_item(_SPECIFIC_CHARACTER_SET, keep_deferred=True), "CS", ascii_only
            )
            decoder = decoder_for(terms, self._default_encoding)
        pixel_representation = outer.pixel_representation if outer else None
        if _PIXEL_REPRESENTATION in dataset:
            element = dataset.get_item(_PIXEL_REPRESENTATION, keep_deferred=True)
            pixel_representation = _text_of_element(element, "US", ascii_only)
        creators = {}
        for key in dataset.keys():  # noqa: SIM118 (iterating a Dataset converts its elements)
            tag = int(key)
            if tag >> 16 & 1 and 0x0010 <= tag & 0xFFFF <= 0x00FF:
                element = dataset.get_item(tag, keep_deferred=True)
                # DCMTK does not look for creators in values of unknown type.
                if element.VR in (None, "LO"):
                    creators[tag] = _text_of_element(element, "LO", decoder) or ""
        return _Context(decoder, pixel_representation, creators)

    def _value(
        self, dataset: Dataset, element: _Element, vr: str, creator: str | None, context: _Context
    ) -> tuple[str, Any]:
        tag = int(element.tag)
        if vr == "SQ":
            items = _items(dataset, tag)
            if items is None:
                return "Null", None
            return "Sequence", [self.dataset(item, context, last=None) for item in items]
        text = _text_of_element(element, vr, context.decoder, creator)
        if text is None:
            return "Null", None
        if tag not in self._ignore_length and len(text.encode()) > MAX_TEXT_BYTES:
            return "TooLong", None
        return "String", text


def _vr(element: _Element, creator: str | None, context: _Context) -> str:
    if element.VR is not None:
        return str(element.VR)
    tag = int(element.tag)
    vr = vr_of_tag(tag, creator)
    return resolve_us_or_ss(tag, context.pixel_representation) if vr == US_OR_SS else vr


def _items(dataset: Dataset, tag: int) -> Iterable[Dataset] | None:
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


def _text_of_element(
    element: _Element, vr: str, decoder: TextDecoder, creator: str | None = None
) -> str | None:
    """Write a value as text; None when it has none."""
    if not isinstance(element, RawDataElement):
        return _text_of_converted(vr, element.value)
    value = element.value or b""
    if vr == "UN":
        vr = vr_of_tag(int(element.tag), creator)
        if vr not in TEXT_VRS:
            return None
        return decoder.decode(value[:-1] if value.endswith(b"\0") else value)
    return text_of_value(vr, value, little_endian=element.is_little_endian, decoder=decoder)


def _text_of_converted(vr: str, value: Any) -> str | None:
    """Write a value that somebody made or converted."""
    if not is_textual(vr):
        return None
    if value is None:
        return "" if vr in TEXT_VRS or vr == "AT" else None
    if isinstance(value, (list, MultiValue)):
        texts = [_text_of_converted(vr, one) or "" for one in value]
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

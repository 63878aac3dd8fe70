"""Data sets as Orthanc's JSON: full, short and simplified.

References
----------
Orthanc's ``/instances/{id}/tags`` and ``/simplified-tags``; the rules were observed on Orthanc
1.13.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal

from pydicom import Dataset

from lanthorn_core.dicom.elementcontext import (
    Context,
    Element,
    context_of,
    creator_of,
    items_of,
    text_of_element,
    vr_of_element,
)
from lanthorn_core.dicom.tags import format_tag, tag_name
from lanthorn_core.dicom.values import MAX_TEXT_BYTES, is_known
from lanthorn_core.errors import InvalidDataset

Style = Literal["full", "short", "simplify"]

_PIXEL_DATA: Final = 0x7FE0_0010


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


class _Renderer:
    def __init__(self, style: Style, ignore_length: frozenset[int], default_encoding: str) -> None:
        self._style = style
        self._ignore_length = ignore_length
        self._default_encoding = default_encoding

    def dataset(
        self, dataset: Dataset, outer: Context | None, *, last: int | None
    ) -> dict[str, Any]:
        context = context_of(dataset, outer, self._default_encoding)
        answer: dict[str, Any] = {}
        for key in sorted(dataset.keys()):
            tag = int(key)
            if last is not None and tag > last:
                break
            creator = creator_of(tag, context)
            element = dataset.get_item(tag, keep_deferred=True)
            vr = vr_of_element(element, creator, context)
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

    def _value(
        self, dataset: Dataset, element: Element, vr: str, creator: str | None, context: Context
    ) -> tuple[str, Any]:
        tag = int(element.tag)
        if vr == "SQ":
            items = items_of(dataset, tag)
            if items is None:
                return "Null", None
            return "Sequence", [self.dataset(item, context, last=None) for item in items]
        text = text_of_element(element, vr, context.decoder, creator)
        if text is None:
            return "Null", None
        if tag not in self._ignore_length and len(text.encode()) > MAX_TEXT_BYTES:
            return "TooLong", None
        return "String", text

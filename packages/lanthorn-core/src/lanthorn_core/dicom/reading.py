"""From a scanned header to a pydicom data set, without reading the bytes a second time.

References
----------
DICOM PS3.5 Chapter 7.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Mapping

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from lanthorn_core.dicom.encodings import Encoding
from lanthorn_core.dicom.scan import Header, RawElement
from lanthorn_core.dicom.values import is_known

_SPECIFIC_CHARACTER_SET = 0x0008_0005
_UNDEFINED = b"\xff\xff\xff\xff"
_DELIMITER_BYTES = 8


def dataset_of_header(header: Header, only: Collection[int] | None = None) -> Dataset:
    """Make a pydicom data set of a header.

    Parameters
    ----------
    header : Header
        The header of a scan.
    only : collection of int, optional
        Take these top-level tags, and Specific Character Set (0008,0005), and no others.

    Returns
    -------
    pydicom.Dataset
        Values are converted when they are asked for, and may raise what pydicom raises then.
    """
    elements: Mapping[int, RawElement] = header.elements
    if only is not None:
        wanted = {*only, _SPECIFIC_CHARACTER_SET}
        elements = {tag: elements[tag] for tag in elements.keys() & wanted}
    return make_dataset(raw_elements(header.encoded, elements, header.encoding), header.encoding)


def raw_elements(
    encoded: bytes, elements: Mapping[int, RawElement], encoding: Encoding
) -> dict[BaseTag, RawDataElement | DataElement]:
    """Cut the values of scanned elements out, for pydicom to convert."""
    return {BaseTag(tag): _raw(encoded, tag, raw, encoding) for tag, raw in elements.items()}


def make_dataset(
    elements: dict[BaseTag, RawDataElement | DataElement], encoding: Encoding
) -> Dataset:
    """Put elements into a data set that knows how it was written.

    A Specific Character Set (0008,0005) that is no text counts as absent, as in Orthanc.
    """
    dataset = Dataset(elements)
    charset: str | list[str] = default_encoding
    # pydicom raises what its parts raise
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        terms = dataset.get(_SPECIFIC_CHARACTER_SET)
        if terms:
            charset = convert_encodings(terms.value)
    dataset.set_original_encoding(encoding.implicit, encoding.little_endian, charset)
    return dataset


def _raw(encoded: bytes, tag: int, element: RawElement, encoding: Encoding) -> RawDataElement:
    vr, start, length = element.vr, element.start, element.length
    end = start + length
    implicit, little_endian = encoding.implicit, encoding.little_endian
    if vr in (None, "SQ", "UN") and encoded[start - 4 : start] == _UNDEFINED:
        # With a length of its own, a sequence needs no delimiter, and is read when it is wanted.
        end -= _DELIMITER_BYTES
        if vr == "UN":
            implicit = little_endian = True  # PS3.5 Section 6.2.2 Note 3
        vr = "SQ"
    elif vr is not None and not is_known(vr):
        vr = "UN"
    value = encoded[start:end]
    return RawDataElement(BaseTag(tag), vr, len(value), value, start, implicit, little_endian)

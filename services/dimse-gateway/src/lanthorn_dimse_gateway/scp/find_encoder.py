"""From rows of texts to the identifiers of C-FIND responses.

An encoder is made once for a query. Rows whose texts fit the character set are written by
joining texts with element headers that were prepared for every length; whatever is unusual (other
character sets, numbers, sequences and other elements of files) goes the general way.

References
----------
DICOM PS3.5 Sections 7.1 (data elements) and 6.2 (padding); PS3.4 Section C.4.1.1.3.2.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE, Encoding, encoding_of
from lanthorn_core.dicom.textencoding import UTF8, TextEncoder, encoder_for
from lanthorn_core.dicom.values import TEXT_VRS
from lanthorn_dimse_gateway.scp.find_identifier import SPECIFIC_CHARACTER_SET, ReturnKey

_PREPARED: Final = 256
"""Lengths for which headers are prepared: the index keeps no longer texts."""
_LONG_VRS: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
_MAX_SHORT: Final = 0xFFFE
_NUMBERS: Final[Mapping[str, tuple[str, type[int] | type[float]]]] = {
    "US": ("H", int),
    "SS": ("h", int),
    "UL": ("L", int),
    "SL": ("l", int),
    "UV": ("Q", int),
    "SV": ("q", int),
    "FL": ("f", float),
    "FD": ("d", float),
}


class ElementWriter:
    """Writes elements of a transfer syntax.

    Parameters
    ----------
    encoding : Encoding
        Byte order, and explicit or implicit VR.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding: Final = encoding
        self._order: Final = "<" if encoding.little_endian else ">"

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """Write tag, VR and length of an element (PS3.5 Section 7.1)."""
        group, number = tag >> 16, tag & 0xFFFF
        if self.encoding.implicit:
            return struct.pack(f"{self._order}HHL", group, number, length)
        start = struct.pack(f"{self._order}HH", group, number) + vr.encode("ascii")
        if vr in _LONG_VRS:
            return start + struct.pack(f"{self._order}HL", 0, length)
        return start + struct.pack(f"{self._order}H", length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Write an element, padded to an even length; one too long for its VR is left empty."""
        if len(value) & 1:
            value += padding_of(vr)
        if len(value) > _MAX_SHORT and not self.encoding.implicit and vr not in _LONG_VRS:
            value = b""
        return self.header(tag, vr, len(value)) + value

    def number(self, vr: str, text: str) -> bytes:
        """Write numbers that the index has as text; none where they are no numbers."""
        code, kind = _NUMBERS[vr]
        try:
            values = [kind(part) for part in text.split("\\")]
            return struct.pack(f"{self._order}{len(values)}{code}", *values)
        except (ValueError, OverflowError, struct.error):
            return b""


def _encoding(transfer_syntax_uid: str) -> Encoding:
    return encoding_of(transfer_syntax_uid) or EXPLICIT_LITTLE


def padding_of(vr: str) -> bytes:
    """Return what pads a value of odd length (PS3.5 Section 6.2)."""
    return b"\0" if vr == "UI" or vr not in TEXT_VRS else b" "


@lru_cache(maxsize=1024)
def _prepared_headers(
    before: bytes, tag: int, vr: str, transfer_syntax_uid: str
) -> tuple[str, ...]:
    """Headers for values of 0 to 256 bytes, each byte as the character of that number.

    `before` is what precedes them in every answer.
    """
    writer = ElementWriter(_encoding(transfer_syntax_uid))
    return tuple(
        (before + writer.header(tag, vr, length + (length & 1))).decode("latin-1")
        for length in range(_PREPARED + 1)
    )


class AnswerEncoder:
    """Encodes the answers of one query.

    Parameters
    ----------
    return_keys : sequence of ReturnKey
        What every answer has, in order of the tags.
    fixed : mapping of int to str
        Texts that are the same in every answer, by tag; in ASCII.
    columns : mapping of str to int
        At which place of a row the text of a keyword is.
    transfer_syntax_uid : str
        Of the presentation context; not a deflated one.
    default_encoding : str
        Orthanc's `DefaultEncoding`. A row with characters that this lacks is written in UTF-8.
    """

    def __init__(
        self,
        return_keys: Sequence[ReturnKey],
        fixed: Mapping[int, str],
        columns: Mapping[str, int],
        transfer_syntax_uid: str,
        default_encoding: str,
    ) -> None:
        self._writer = ElementWriter(_encoding(transfer_syntax_uid))
        self._keys = return_keys
        self._fixed = fixed
        self._columns = columns
        self._charset = encoder_for(default_encoding)
        self._is_latin1 = default_encoding == "Latin1"
        self._is_plain = all(
            key.vr in TEXT_VRS or key.tag in fixed or key.keyword not in columns
            for key in return_keys
        )
        self._places: list[int] = []
        self._headers: list[tuple[str, ...]] = []
        self._paddings: list[tuple[str, str]] = []
        self._after = self._compile(transfer_syntax_uid)

    def _compile(self, transfer_syntax_uid: str) -> str:
        constant = self._charset_element(self._charset)
        for key in self._keys:
            if key.tag in self._fixed or key.keyword not in self._columns:
                value = self._fixed.get(key.tag, "").encode("ascii", "replace")
                constant += self._writer.element(key.tag, key.vr, value)
                continue
            self._places.append(self._columns[key.keyword])
            self._headers.append(_prepared_headers(constant, key.tag, key.vr, transfer_syntax_uid))
            self._paddings.append(("", padding_of(key.vr).decode("ascii")))
            constant = b""
        return constant.decode("latin-1")

    def _charset_element(self, charset: TextEncoder) -> bytes:
        term = charset.specific_character_set.encode("ascii")
        return self._writer.element(SPECIFIC_CHARACTER_SET, "CS", term)

    def encode(self, row: Sequence[Any]) -> bytes:
        """Encode an answer of which the index has everything."""
        if not self._is_plain:
            return self.encode_with(row, None)
        texts = [row[place] or "" for place in self._places]
        try:
            parts = [
                f"{headers[len(text)]}{text}{paddings[len(text) & 1]}"
                for headers, text, paddings in zip(
                    self._headers, texts, self._paddings, strict=True
                )
            ]
            if not self._is_latin1 and not all(map(str.isascii, texts)):
                return self.encode_with(row, None)
            # Headers, too, hold characters below 100H only: what remains is the texts.
            return f"{''.join(parts)}{self._after}".encode("latin-1")
        except (UnicodeEncodeError, IndexError):  # other characters, or a text of more than 256
            return self.encode_with(row, None)

    def encode_with(self, row: Sequence[Any], elements: Dataset | None) -> bytes:
        """Encode an answer with elements of its file, whose texts are Unicode."""
        charset = self._charset
        if not self._fits(row, elements):
            charset = UTF8
        parts = [self._charset_element(charset)]
        for key in self._keys:
            if elements is not None and key.tag in elements:
                parts.append(self._file_element(elements[key.tag], charset))
                continue
            parts.append(self._writer.element(key.tag, key.vr, self._value(key, row, charset)))
        return b"".join(parts)

    def _fits(self, row: Sequence[Any], elements: Dataset | None) -> bool:
        texts = [row[column] for column in self._columns.values() if row[column]]
        if elements is not None:
            texts.extend(_texts_of(elements))
        return all(self._charset.encode(text) is not None for text in texts)

    def _value(self, key: ReturnKey, row: Sequence[Any], charset: TextEncoder) -> bytes:
        text = self._fixed.get(key.tag)
        if text is None and key.keyword in self._columns:
            text = row[self._columns[key.keyword]]
        if not text or key.vr == "SQ":
            return b""
        if key.vr in _NUMBERS:
            return self._writer.number(key.vr, text)
        return charset.encode(text) or b""

    def _file_element(self, element: DataElement, charset: TextEncoder) -> bytes:
        """Write an element of a file by pydicom, an empty one where that fails."""
        encoding = self._writer.encoding
        buffer = DicomBytesIO()
        buffer.is_implicit_VR = encoding.implicit
        buffer.is_little_endian = encoding.little_endian
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                terms = charset.specific_character_set.split("\\")
                write_data_element(buffer, element, convert_encodings(terms))
            return buffer.getvalue()
        except Exception:  # pydicom raises what its parts raise
            return self._writer.element(int(element.tag), str(element.VR), b"")


def _texts_of(dataset: Dataset) -> Iterable[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts_of(item)
        elif element.VR in TEXT_VRS and element.value is not None:
            yield str(element.value)

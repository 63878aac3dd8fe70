"""Character sets: from text to the bytes of a data set.

References
----------
DICOM PS3.3 Section C.12.1.1.2, PS3.5 Section 6.1; Orthanc's option `DefaultEncoding`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from lanthorn_core.dicom.charset import decoder_for, default_codec
from lanthorn_core.dicom.dataset_writing import DEFINED_TERMS

_ESCAPES: Final[Mapping[str, bytes]] = MappingProxyType(
    {"Korean": b"\x1b$)C", "SimplifiedChinese": b"\x1b$)A"}
)
"""Sets that are designated anew after each delimiter (PS3.5 Section 6.1.2.5.3)."""
_ASIAN: Final = frozenset({"Japanese", "JapaneseKanji", *_ESCAPES})
_DELIMITERS: Final = re.compile(r"([\r\n\f\t\\^=])")

_ASCII: Final = "ISO_IR 6"
"""Told where there is nothing to tell: an answer always names its character set."""


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Encodes the texts of a data set that names `specific_character_set`."""

    specific_character_set: str
    name: str
    codec: str

    def encode(self, text: str) -> bytes | None:
        """Return the bytes of a text, None if the character set lacks one of its characters."""
        if text.isascii():
            return text.encode("ascii")
        try:
            encoded = b"".join(map(self._designated, _DELIMITERS.split(text)))
        except UnicodeEncodeError:
            return None
        if self.name == "Japanese" and len(encoded) != len(text):
            return None  # Kanji of Shift JIS, which is none of DICOM's sets (only its JIS X 0201)
        if self.name in _ASIAN:
            # Python's codecs know more than DICOM's sets: the yen sign would become a backslash.
            decoder = decoder_for(self.specific_character_set, self.name)
            return encoded if decoder.decode(encoded) == text else None
        return encoded

    def _designated(self, part: str) -> bytes:
        if part.isascii():
            return part.encode("ascii")
        return _ESCAPES.get(self.name, b"") + part.encode(self.codec)


@cache
def encoder_for(default_encoding: str) -> TextEncoder:
    """Return the encoder for a value of `DefaultEncoding`.

    Raises
    ------
    InvalidParameter
        Orthanc has no such encoding.
    """
    # DICOM has no term for the code page 1251: it is written as DICOM's Cyrillic.
    is_code_page = default_encoding == "Windows1251"
    codec = default_codec("Cyrillic" if is_code_page else default_encoding)
    terms = "\\".join(DEFINED_TERMS[default_encoding]) or _ASCII
    return TextEncoder(terms, default_encoding, codec)


UTF8: Final = encoder_for("Utf8")
"""What every text can be written in."""

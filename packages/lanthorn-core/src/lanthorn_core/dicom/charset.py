"""Character sets: from the bytes of a data set to text.

References
----------
DICOM PS3.3 Section C.12.1.1.2, PS3.5 Section 6.1; Orthanc's option `DefaultEncoding`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Final

from lanthorn_core.errors import InvalidIdentifier, InvalidParameter

DEFAULT_ENCODINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Ascii": "ascii",
        "Utf8": "utf-8",
        "Latin1": "iso8859-1",
        "Latin2": "iso8859-2",
        "Latin3": "iso8859-3",
        "Latin4": "iso8859-4",
        "Latin5": "iso8859-9",
        "Cyrillic": "iso8859-5",
        "Windows1251": "cp1251",
        "Arabic": "iso8859-6",
        "Greek": "iso8859-7",
        "Hebrew": "iso8859-8",
        "Thai": "tis-620",
        "Japanese": "shift_jis",
        "Chinese": "gb18030",
        "JapaneseKanji": "iso2022_jp",
        "Korean": "euc_kr",
        "SimplifiedChinese": "gb2312",
    }
)
"""What `DefaultEncoding` may be, and Python's codec for it."""

CODEC_OF_DEFINED_TERM: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ISO_IR 6": "ascii",
        "ISO_IR 100": "iso8859-1",
        "ISO_IR 101": "iso8859-2",
        "ISO_IR 109": "iso8859-3",
        "ISO_IR 110": "iso8859-4",
        "ISO_IR 144": "iso8859-5",
        "ISO_IR 127": "iso8859-6",
        "ISO_IR 126": "iso8859-7",
        "ISO_IR 138": "iso8859-8",
        "ISO_IR 148": "iso8859-9",
        "ISO_IR 203": "iso8859-15",
        "ISO_IR 166": "tis-620",
        "ISO_IR 13": "shift_jis",
        "ISO_IR 192": "utf-8",
        "GB18030": "gb18030",
        "GBK": "gbk",
        "ISO 2022 IR 6": "ascii",
        "ISO 2022 IR 100": "iso8859-1",
        "ISO 2022 IR 101": "iso8859-2",
        "ISO 2022 IR 109": "iso8859-3",
        "ISO 2022 IR 110": "iso8859-4",
        "ISO 2022 IR 144": "iso8859-5",
        "ISO 2022 IR 127": "iso8859-6",
        "ISO 2022 IR 126": "iso8859-7",
        "ISO 2022 IR 138": "iso8859-8",
        "ISO 2022 IR 148": "iso8859-9",
        "ISO 2022 IR 203": "iso8859-15",
        "ISO 2022 IR 166": "tis-620",
        "ISO 2022 IR 13": "shift_jis",
        "ISO 2022 IR 87": "iso2022_jp",
        "ISO 2022 IR 159": "iso2022_jp_2",
        "ISO 2022 IR 149": "euc_kr",
        "ISO 2022 IR 58": "gb2312",
    }
)
"""Python's codec for each defined term of Specific Character Set (PS3.3 Section C.12.1.1.2)."""

_CODEC_OF_ESCAPE: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"\x1b(B": "ascii",
        b"\x1b-A": "iso8859-1",
        b"\x1b-B": "iso8859-2",
        b"\x1b-C": "iso8859-3",
        b"\x1b-D": "iso8859-4",
        b"\x1b-L": "iso8859-5",
        b"\x1b-G": "iso8859-6",
        b"\x1b-F": "iso8859-7",
        b"\x1b-H": "iso8859-8",
        b"\x1b-M": "iso8859-9",
        b"\x1b-b": "iso8859-15",
        b"\x1b-T": "tis-620",
        b"\x1b)I": "shift_jis",
        b"\x1b(J": "shift_jis",
        b"\x1b$B": "iso2022_jp",
        b"\x1b$(D": "iso2022_jp_2",
        b"\x1b$)C": "euc_kr",
        b"\x1b$)A": "gb2312",
    }
)
"""PS3.3 Tables C.12-3 and C.12-4: the escape sequences of the code extensions."""
_KEEPS_ITS_ESCAPE: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
_ESCAPE = re.compile(rb"(\x1b(?:\([BJ]|\)I|-[A-HLMTb]|\$B|\$\(D|\$\)[AC]))")
_RESET = re.compile(rb"([\r\n\f\t\\^=])")
_NOT_IN_ASCII: Final = bytes({*range(256)} - {*range(0x20, 0x7F)} - {0x0A})
"""What Orthanc drops of a text in ASCII or an unknown character set: controls but line feed."""


class TextDecoder:
    """Decodes the values of one data set.

    Parameters
    ----------
    codec : str
        Python's name of the initial character set; what it cannot decode is left out.
    code_extensions : bool
        Whether escape sequences switch the character set (PS3.5 Section 6.1.2.5).
    """

    __slots__ = ("code_extensions", "codec")

    on_error: ClassVar = "ignore"

    def __init__(self, codec: str, *, code_extensions: bool = False) -> None:
        self.codec = codec
        self.code_extensions = code_extensions

    def decode(self, value: bytes) -> str:
        """Return the text of a value; never fails."""
        if self.codec == "ascii":
            return value.translate(None, _NOT_IN_ASCII).decode("ascii")
        if value.isascii() and b"\x1b" not in value:
            # Every set of DICOM has ASCII below 80, and most values hold nothing else.
            return value.decode("ascii")
        if self.code_extensions and b"\x1b" in value:
            return self._decode_extended(value)
        return value.decode(self.codec, self.on_error)

    def _decode_extended(self, value: bytes) -> str:
        parts = _ESCAPE.split(value)
        text = [parts[0].decode(self.codec, self.on_error)]
        for escape, fragment in zip(parts[1::2], parts[2::2], strict=True):
            codec = _CODEC_OF_ESCAPE[escape]
            if codec in _KEEPS_ITS_ESCAPE:
                # Two bytes to a character below 80: a delimiter cannot be told from half of one.
                text.append((escape + fragment).decode(codec, self.on_error))
                continue
            # PS3.5 Section 6.1.2.5.3: delimiters bring back the initial character set.
            own, *rest = _RESET.split(fragment, maxsplit=1)
            text.append(own.decode(codec, self.on_error))
            text.append(b"".join(rest).decode(self.codec, self.on_error))
        return "".join(text)


class KeyDecoder(TextDecoder):
    """Decodes the keys of an identifier: one that loses bytes would match more than was asked."""

    __slots__ = ()

    on_error = "strict"

    def decode(self, value: bytes) -> str:
        """Return the text of a key.

        Raises
        ------
        InvalidIdentifier
            It has bytes that are none of its character set.
        """
        try:
            text = super().decode(value)
        except UnicodeDecodeError:
            text = None
        if text is None or (self.codec == "ascii" and len(text) < len(value)):
            # Without a cause: that would quote the value.
            raise InvalidIdentifier("A key has bytes that are none of its character set")
        return text


def default_codec(name: str) -> str:
    """Return Python's codec for a value of `DefaultEncoding`.

    Raises
    ------
    InvalidParameter
        Orthanc has no such encoding.
    """
    try:
        return DEFAULT_ENCODINGS[name]
    except KeyError:
        raise InvalidParameter(
            f"unknown encoding {name!r}, expected one of {', '.join(DEFAULT_ENCODINGS)}"
        ) from None


@lru_cache(maxsize=256)
def decoder_for(
    specific_character_set: str | None,
    default_encoding: str,
    *,
    of_keys: bool = False,
) -> TextDecoder:
    """Choose the decoder of a data set.

    Parameters
    ----------
    specific_character_set : str or None
        Specific Character Set (0008,0005), values joined by backslash; None when absent.
    default_encoding : str
        A key of `DEFAULT_ENCODINGS`, for data sets that name no character set.
    of_keys : bool
        For an identifier: what cannot be decoded is refused.

    Returns
    -------
    TextDecoder
        As Orthanc does, an unknown character set is read as ASCII.
    """
    kind = KeyDecoder if of_keys else TextDecoder
    if specific_character_set is None:
        return kind(default_codec(default_encoding))
    terms = [term.strip() for term in specific_character_set.split("\\")]
    code_extensions = len(terms) > 1
    named = [_codec_of(term) for term in terms if term]
    if not named:
        return kind(default_codec(default_encoding), code_extensions=code_extensions)
    # All sets have ASCII below 80, so the first that has more serves senders who forget escapes.
    codec = next((codec for codec in named if codec != "ascii"), "ascii")
    return kind(codec, code_extensions=code_extensions)


def _codec_of(term: str) -> str:
    return CODEC_OF_DEFINED_TERM.get(term.upper().replace("ISO_IR_", "ISO_IR "), "ascii")

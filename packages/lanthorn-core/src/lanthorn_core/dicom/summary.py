"""What the index keeps of an instance.

References
----------
Orthanc's `MainDicomTags`, `IndexInSeries` and `ExpectedNumberOfInstances`; the rules were observed
on Orthanc 1.13.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lanthorn_core.dicom.charset import TextDecoder, decoder_for
from lanthorn_core.dicom.encodings import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.dicom.identifiers import Identity
from lanthorn_core.dicom.maintags import MAIN_TAGS, MainTag
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import Header, RawElement
from lanthorn_core.dicom.tags import US_OR_SS, format_tag, tag_name, vr_of_tag
from lanthorn_core.dicom.values import MAX_TEXT_BYTES, TEXT_VRS, resolve_us_or_ss, text_of_value
from lanthorn_core.errors import InvalidDataset, MissingIdentifier

_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
_SOP_CLASS_UID: Final = 0x0008_0016
_SOP_INSTANCE_UID: Final = 0x0008_0018
_PATIENT_ID: Final = 0x0010_0020
_CARDIAC_NUMBER_OF_IMAGES: Final = 0x0018_1090
_STUDY_INSTANCE_UID: Final = 0x0020_000D
_SERIES_INSTANCE_UID: Final = 0x0020_000E
_INSTANCE_NUMBER: Final = 0x0020_0013
_NUMBER_OF_TEMPORAL_POSITIONS: Final = 0x0020_0105
_IMAGES_IN_ACQUISITION: Final = 0x0020_1002
_NUMBER_OF_FRAMES: Final = 0x0028_0008
_BITS_ALLOCATED: Final = 0x0028_0100
_PIXEL_REPRESENTATION: Final = 0x0028_0103
_NUMBER_OF_SLICES: Final = 0x0054_0081
_NUMBER_OF_TIME_SLICES: Final = 0x0054_0101
_IMAGE_INDEX: Final = 0x0054_1330

_NATIVE_EXPLICIT: Final = frozenset({EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_UINT32_MAX: Final = 0xFFFF_FFFF


class HeaderText:
    """Reads values of a header as text.

    Parameters
    ----------
    header : Header
        The header of a scan.
    default_encoding : str
        Orthanc's option `DefaultEncoding`, for headers that name no character set.
    of_keys : bool
        For an identifier: what cannot be decoded is refused.
    """

    def __init__(self, header: Header, default_encoding: str, *, of_keys: bool = False) -> None:
        self._header = header
        self._little_endian = header.encoding.little_endian
        raw = header.value(_SPECIFIC_CHARACTER_SET)
        self.specific_character_set = (
            None if raw is None else raw.decode("latin-1").split("\0")[0].rstrip(" ")
        )
        self.decoder: TextDecoder = decoder_for(
            self.specific_character_set, default_encoding, of_keys=of_keys
        )

    def get(self, tag: int) -> str | None:
        """Return the text of a top-level element; None if absent, binary or a sequence."""
        element = self._header.elements.get(tag)
        if element is None:
            return None
        vr = element.vr
        value = self._header.encoded[element.start : element.start + element.length]
        if vr is None:
            vr = vr_of_tag(tag)
            if vr == US_OR_SS:
                vr = resolve_us_or_ss(tag, self.get(_PIXEL_REPRESENTATION))
        elif vr == "UN":
            vr = vr_of_tag(tag)
            if vr not in TEXT_VRS:
                return None
            return self.decoder.decode(value[:-1] if value.endswith(b"\0") else value)
        return text_of_value(vr, value, little_endian=self._little_endian, decoder=self.decoder)


def identify(header: Header, default_encoding: str) -> Identity:
    """Find out which instance this is.

    Parameters
    ----------
    header : Header
        The header of a scan.
    default_encoding : str
        Orthanc's option `DefaultEncoding`.

    Raises
    ------
    MissingIdentifier
        The Study, Series or SOP Instance UID is absent.
    InvalidDataset
        One of them is empty, or no text, or an identifier is longer than 256 bytes.
    """
    return _identity(header, HeaderText(header, default_encoding))


class LevelSummary(NamedTuple):
    """What the index keeps of one level of an instance.

    `main_tags` maps keywords to text; `sequences` has the main tags that are sequences, by tag
    (``gggg,eeee``), in Orthanc's full JSON.
    """

    main_tags: dict[str, str]
    sequences: dict[str, Any]


class InstanceSummary:
    """The values of one instance that the index keeps.

    `index_text` is Orthanc's metadata `IndexInSeries`, which need not be a number;
    `index_in_series` is the number if it is one. Levels are read when they are asked for: the
    index keeps those of the parents for their first instance only.

    Parameters
    ----------
    header : Header
        The header of a scan.
    extra_main_tags : mapping of str to iterable of int
        By level (``Patient``, ...), tags to keep beside `MAIN_TAGS`.
    default_encoding : str
        Orthanc's option `DefaultEncoding`.

    Raises
    ------
    InvalidDataset
        As `identify` does.
    """

    def __init__(
        self, header: Header, extra_main_tags: Mapping[str, Collection[int]], default_encoding: str
    ) -> None:
        self._header = header
        self._extra_main_tags = extra_main_tags
        self._default_encoding = default_encoding
        self._text = text = HeaderText(header, default_encoding)
        self._levels: dict[str, LevelSummary] = {}
        self.sop_class_uid = text.get(_SOP_CLASS_UID) or ""
        self.identity = _identity(header, text)
        self.number_of_frames = max(_integer(text.get(_NUMBER_OF_FRAMES), stripped=True) or 1, 1)
        self.index_text = _index_text(text)
        self.index_in_series = _index_in_series(self.index_text)
        self.expected_number_of_instances = _expected_number_of_instances(text)
        self.specific_character_set = text.specific_character_set

    def level(self, level: str) -> LevelSummary:
        """Read what is kept of a level (``Patient``, ...)."""
        known = self._levels.get(level)
        if known is None:
            known = self._levels[level] = self._read(level)
        return known

    def _read(self, level: str) -> LevelSummary:
        header, text = self._header, self._text
        kept: dict[str, str] = {}
        sequences: dict[str, Any] = {}
        main_tags = _with_extra(MAIN_TAGS[level], self._extra_main_tags.get(level, ()))
        for tag, keyword in main_tags:
            element = header.elements.get(tag)
            if element is None:
                continue
            if _is_sequence(tag, element):
                sequences[format_tag(tag)] = _sequence(header, tag, self._default_encoding)
                continue
            value = text.get(tag)
            if value is not None and _is_short(value):
                kept[keyword] = value
        return LevelSummary(kept, sequences)


def pixel_data_vr_metadata(header: Header) -> str | None:
    """Return Orthanc's metadata `PixelDataVR`: the VR of native Pixel Data if it is not the usual.

    Parameters
    ----------
    header : Header
        The header of a scan.

    Returns
    -------
    str or None
        ``OB`` or ``OW`` where Bits Allocated (0028,0100) would have the other.
    """
    if header.transfer_syntax_uid not in _NATIVE_EXPLICIT or header.pixel_data_vr is None:
        return None
    bits = _bits_allocated(header)
    usual = "OW" if bits is not None and bits > 8 else "OB"
    return None if header.pixel_data_vr == usual else header.pixel_data_vr


def _bits_allocated(header: Header) -> int | None:
    element = header.elements.get(_BITS_ALLOCATED)
    if element is not None and element.vr == "US" and element.length == 2:
        # As nearly always; no text is made of it, since every instance received comes through here.
        value = header.encoded[element.start : element.start + 2]
        is_big = header.transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
        return int.from_bytes(value, "big" if is_big else "little")
    return _integer(HeaderText(header, "Ascii").get(_BITS_ALLOCATED))


def _with_extra(
    main_tags: tuple[MainTag, ...], extra: Collection[int]
) -> Sequence[tuple[int, str]]:
    if not extra:
        return main_tags
    known = {main.tag for main in main_tags}
    return [*main_tags, *((tag, tag_name(tag)) for tag in extra if tag not in known)]


def _is_short(text: str) -> bool:
    return len(text) * 4 <= MAX_TEXT_BYTES or len(text.encode()) <= MAX_TEXT_BYTES


def _is_sequence(tag: int, element: RawElement) -> bool:
    return (element.vr or vr_of_tag(tag)) == "SQ"


def _sequence(header: Header, tag: int, default_encoding: str) -> dict[str, Any]:
    """Render one top-level sequence, and read no more than it."""
    dataset = dataset_of_header(header, only=(tag,))
    answer = to_orthanc_json(dataset, style="full", default_encoding=default_encoding)
    rendered: dict[str, Any] = answer[format_tag(tag)]
    return rendered


def _identity(header: Header, text: HeaderText) -> Identity:
    identifiers = []
    for tag in (_PATIENT_ID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, _SOP_INSTANCE_UID):
        if tag not in header.elements:
            if tag != _PATIENT_ID:
                raise MissingIdentifier(f"{_named(tag)} is missing")
            identifiers.append("")
            continue
        value = text.get(tag)
        if value is None or not _is_short(value):
            raise InvalidDataset(f"{_named(tag)} is not a short text")
        if not value and tag != _PATIENT_ID:
            raise InvalidDataset(f"{_named(tag)} is empty")
        identifiers.append(value)
    return Identity(*identifiers)


def _named(tag: int) -> str:
    return f"{tag_name(tag)} ({format_tag(tag)})"


def _integer(text: str | None, *, stripped: bool = False) -> int | None:
    if text is None:
        return None
    if stripped:
        text = text.strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def _index_text(text: HeaderText) -> str | None:
    value = text.get(_INSTANCE_NUMBER)
    if value is None:
        value = text.get(_IMAGE_INDEX)
    return None if value is None else value.strip()


def _index_in_series(index_text: str | None) -> int | None:
    index = _integer(index_text)
    return index if index is not None and 0 <= index <= _UINT32_MAX else None


def _expected_number_of_instances(text: HeaderText) -> int | None:
    """Multiply what the first applicable pair of tags says, as Orthanc does."""
    pairs = (
        (_IMAGES_IN_ACQUISITION, _NUMBER_OF_TEMPORAL_POSITIONS),
        (_NUMBER_OF_SLICES, _NUMBER_OF_TIME_SLICES),
        (_CARDIAC_NUMBER_OF_IMAGES,),
    )
    for pair in pairs:
        values = [text.get(tag) for tag in pair]
        if None in values:
            continue
        product = 1
        for value in values:
            factor = _integer(value)
            if factor is None:
                return None
            product *= factor
        return product if product > 0 else None
    return None

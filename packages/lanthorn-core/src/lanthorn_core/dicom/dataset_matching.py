"""Matching of whole data sets in memory: worklists, and what the index does not hold.

An identifier is parsed once into `DatasetKeys`, nested as its sequences are; `matches_dataset`
applies them to a data set by the rules of `matching`. What the answer has of a match is in
`dataset_answer`.

References
----------
DICOM PS3.4 Sections C.2.2.2 (attribute matching), C.2.2.2.6 (sequence matching), K.6.1.2.2
(Scheduled Procedure Step Start Date and Time are matched together).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement

from lanthorn_core.dicom.elementcontext import (
    Context,
    context_of,
    creator_of,
    items_of,
    text_of_element,
    vr_of_element,
)
from lanthorn_core.dicom.matching import MatchingKey, matches, parse_constraint, widen_times
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import InvalidIdentifier

MAX_DEPTH: Final = 8
"""Of sequences in an identifier; no information model nests deeper than two."""

MAX_KEYS: Final = 2048
"""Elements of an identifier, those of its items included."""

MAX_VALUES: Final = 32768
"""Of one key: more real UIDs than an identifier has room for."""

SCHEDULED_START: Final[Mapping[int, int]] = {0x0040_0002: 0x0040_0003}
"""Scheduled Procedure Step Start Date and Start Time, which the worklist matches together."""

_FIRST_GROUP: Final = 0x0008
_NOT_MATCHED: Final = frozenset(
    {
        0x0008_0005,  # Specific Character Set
        0x0008_0006,  # Language Code Sequence
        0x0008_0052,  # Query/Retrieve Level
        0x0008_0053,  # Query/Retrieve View
        0x0008_0201,  # Timezone Offset From UTC
    }
)
_TIME_BEGIN: Final = "000000000000"
_TIME_END: Final = "235959999999"


@dataclass(frozen=True, slots=True)
class MomentRange:
    """A range of a date and a time that are matched as one (PS3.4 Section C.2.2.2.5).

    `lower` and `upper` are ``YYYYMMDDHHMMSSFFFFFF``, empty for an open end.
    """

    date_tag: int
    time_tag: int
    lower: str
    upper: str


@dataclass(frozen=True, slots=True)
class DatasetKeys:
    """What a data set, or an item of a sequence, must have to match.

    Universal keys constrain nothing and are not here; an empty object matches everything.
    """

    attributes: tuple[MatchingKey, ...] = ()
    moments: tuple[MomentRange, ...] = ()
    sequences: tuple[tuple[int, DatasetKeys], ...] = ()

    @property
    def is_universal(self) -> bool:
        """Whether every data set matches."""
        return not (self.attributes or self.moments or self.sequences)


def parse_keys(
    identifier: Dataset,
    *,
    default_encoding: str,
    case_sensitive_pn: bool = False,
    combined: Mapping[int, int] = SCHEDULED_START,
) -> DatasetKeys:
    """Parse the matching keys of an identifier.

    Parameters
    ----------
    identifier : pydicom.Dataset
        As it came; its Specific Character Set (0008,0005) tells how the keys are read.
    default_encoding : str
        Orthanc's `DefaultEncoding`, for identifiers that name no character set.
    case_sensitive_pn : bool
        Whether case matters in names of people; in other values it does.
    combined : mapping of int to int
        Date tags and their time tags: where both are given as ranges in the same data set or
        item, they are one range of moments.

    Raises
    ------
    InvalidIdentifier
        A key breaks the rules of its VR or has bytes that are none of its character set, a sequence
        has several items, or there is too much.
    """
    return _Parser(default_encoding, case_sensitive_pn, combined).dataset(identifier, None, 0)


class _Parser:
    def __init__(
        self, default_encoding: str, case_sensitive_pn: bool, combined: Mapping[int, int]
    ) -> None:
        self._default_encoding = default_encoding
        self._case_sensitive_pn = case_sensitive_pn
        self._combined = combined
        self._count = 0

    def dataset(self, identifier: Dataset, outer: Context | None, depth: int) -> DatasetKeys:
        if depth > MAX_DEPTH:
            raise InvalidIdentifier("The sequences of the identifier are nested too deep")
        context = context_of(identifier, outer, self._default_encoding, of_keys=True)
        attributes: dict[int, MatchingKey] = {}
        sequences: list[tuple[int, DatasetKeys]] = []
        for tag, element in elements_of(identifier):
            self._count += 1
            if self._count > MAX_KEYS:
                raise InvalidIdentifier(f"The identifier has more than {MAX_KEYS} keys")
            if not is_matched(tag):
                continue
            creator = creator_of(tag, context)
            vr = vr_of_element(element, creator, context)
            if vr == "SQ":
                nested = self._sequence(identifier, tag, context, depth)
                if not nested.is_universal:
                    sequences.append((tag, nested))
                continue
            text = text_of_element(element, vr, context.decoder, creator)
            if not text:
                continue
            is_cased = vr != "PN" or self._case_sensitive_pn
            key = parse_constraint(tag, text, case_sensitive=is_cased)
            if key.kind != "universal":
                attributes[tag] = key
        moments = self._take_moments(attributes)
        # Only now: a range of moments has its times as they were written.
        plain = tuple(widen_times(key) for key in attributes.values())
        return DatasetKeys(plain, moments, tuple(sequences))

    def _sequence(self, identifier: Dataset, tag: int, context: Context, depth: int) -> DatasetKeys:
        items = items_of(identifier, tag)
        if items is None:
            raise InvalidIdentifier(f"The sequence {format_tag(tag)} cannot be read")
        keys = [self.dataset(item, context, depth + 1) for item in items]
        if len(keys) > 1:
            # PS3.4 Section C.2.2.2.6: a sequence to match has one item.
            raise InvalidIdentifier(f"The sequence {format_tag(tag)} has more than one item")
        return keys[0] if keys else DatasetKeys()

    def _take_moments(self, attributes: dict[int, MatchingKey]) -> tuple[MomentRange, ...]:
        moments = []
        for date_tag, time_tag in self._combined.items():
            date, time = attributes.get(date_tag), attributes.get(time_tag)
            if date is None or time is None or not date.kind == time.kind == "range":
                continue
            moments.append(moment_range(date, time))
            del attributes[date_tag], attributes[time_tag]
        return tuple(moments)


def moment_range(date: MatchingKey, time: MatchingKey) -> MomentRange:
    """Join a range of dates and one of times (PS3.4 Section C.2.2.2.5)."""
    (first_date, last_date), (first_time, last_time) = date.values, time.values
    lower = upper = ""
    if first_date:
        lower = first_date.replace(".", "") + _whole_time(first_time, _TIME_BEGIN)
    if last_date:
        upper = last_date.replace(".", "") + _whole_time(last_time, _TIME_END)
    return MomentRange(date.tag, time.tag, lower, upper)


def _whole_time(text: str, rest: str) -> str:
    """Write a time with all of its components, those left out taken from `rest`."""
    digits = text.replace(":", "").replace(".", "")
    return digits + rest[len(digits) :]


def matches_dataset(keys: DatasetKeys, dataset: Dataset, *, default_encoding: str) -> bool:
    """Tell whether a data set matches.

    Parameters
    ----------
    keys : DatasetKeys
        Of `parse_keys`.
    dataset : pydicom.Dataset
        Elements not converted yet are read from their bytes and cannot fail; what cannot be read
        as text is as if it were absent.
    default_encoding : str
        For data sets that name no character set.
    """
    return matches_item(keys, dataset, None, default_encoding)


def matches_item(
    keys: DatasetKeys, dataset: Dataset, outer: Context | None, default_encoding: str
) -> bool:
    """Tell whether a data set matches, or an item within `outer`, whose character set it has."""
    if keys.is_universal:
        return True
    context = context_of(dataset, outer, default_encoding)
    return (
        all(_matches_text(key, _text(dataset, key.tag, context)) for key in keys.attributes)
        and all(_matches_moment(moment, dataset, context) for moment in keys.moments)
        and all(
            any(
                matches_item(nested, item, context, default_encoding)
                for item in items_of_sequence(dataset, tag)
            )
            for tag, nested in keys.sequences
        )
    )


def _matches_text(key: MatchingKey, text: str | None) -> bool:
    """Match a text, or any of the values in it (PS3.4 Section C.2.2.2.1)."""
    if matches(key, text):
        return True
    return text is not None and "\\" in text and any(matches(key, one) for one in text.split("\\"))


def _matches_moment(moment: MomentRange, dataset: Dataset, context: Context) -> bool:
    date = _text(dataset, moment.date_tag, context)
    if not date:
        return False
    time = _text(dataset, moment.time_tag, context) or ""
    value = date.replace(".", "") + _whole_time(time, _TIME_BEGIN)
    return (not moment.lower or value >= moment.lower) and (
        not moment.upper or value <= moment.upper
    )


def _text(dataset: Dataset, tag: int, context: Context) -> str | None:
    if tag not in dataset:
        return None
    element = dataset.get_item(tag, keep_deferred=True)
    creator = creator_of(tag, context)
    text = text_of_element(
        element, vr_of_element(element, creator, context), context.decoder, creator
    )
    # An empty value is as unknown as an absent one: only universal matching finds it.
    return text or None


def items_of_sequence(dataset: Dataset, tag: int) -> Iterable[Dataset]:
    """Return the items of a sequence; none where it is absent or unreadable."""
    return (items_of(dataset, tag) or ()) if tag in dataset else ()


def elements_of(dataset: Dataset) -> Iterable[tuple[int, DataElement | RawDataElement]]:
    """Elements in order of their tags, not converted."""
    for key in sorted(dataset.keys()):
        yield int(key), dataset.get_item(key, keep_deferred=True)


def is_matched(tag: int) -> bool:
    """Whether an element of an identifier is a key, not a word about the identifier itself."""
    return tag >> 16 >= _FIRST_GROUP and bool(tag & 0xFFFF) and tag not in _NOT_MATCHED

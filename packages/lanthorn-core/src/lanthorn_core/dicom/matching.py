"""The one matching engine: constraints as C-FIND, QIDO-RS and /tools/find write them.

A constraint is parsed here, once, into a `MatchingKey`; the index turns it into SQL, and `matches`
applies it to a value in memory for attributes that are not indexed. Both must agree: a property
test holds them equal.

References
----------
DICOM PS3.4 Section C.2.2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from pydicom.datadict import dictionary_VR, keyword_for_tag

from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.errors import InvalidIdentifier

WILDCARD_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
RANGE_VRS: Final = frozenset({"DA", "TM", "DT"})
CASED_VRS: Final = WILDCARD_VRS

MODALITIES_IN_STUDY: Final = 0x00080061
COMPUTED_TAGS: Final = {
    "Patient": (
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    ),
    "Study": (
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "Series": ("NumberOfSeriesRelatedInstances",),
    "Instance": ("InstanceAvailability",),
}
"""Attributes that the index computes, by the level at which they may be asked for."""

SOP_CLASS_UID: Final = 0x00080016
MAX_PATTERNS: Final = 1000
"""Alternatives of wildcard matching: each is a parameter of the statement."""
EMPTY_VALUE: Final = '""'
"""The key that finds what has no value (PS3.4 Section C.2.2.2, Empty Value Matching)."""

MatchingKind = Literal["universal", "single", "wildcard", "range", "empty"]


@dataclass(frozen=True, slots=True)
class MatchingKey:
    """One parsed constraint.

    `values` are the alternatives of `single` and `wildcard` matching (any of them), or
    (`lower`, `upper`) of a `range`, either of which may be empty for an open end; `empty` finds
    attributes that are absent or have no value. Comparison is of texts, exact or not minding case.
    """

    tag: int
    keyword: str
    kind: MatchingKind
    values: tuple[str, ...] = ()
    case_sensitive: bool = True

    @property
    def folds(self) -> bool:
        """Whether the VR knows upper and lower case, so that the index holds it in lower case."""
        return vr_of(self.tag) in CASED_VRS


def vr_of(tag: int) -> str:
    """Return the first VR that PS3.6 gives a tag; UN where it has none."""
    try:
        return dictionary_VR(tag).split(" ")[0]
    except KeyError:
        return "UN"


def parse_constraint(
    tag: int, text: str, *, case_sensitive: bool = True, empty_values: bool = False
) -> MatchingKey:
    r"""Parse one constraint.

    Parameters
    ----------
    tag : int
        The attribute.
    text : str
        The constraint: ``""`` or ``*`` (universal), ``a\b`` (any of), ``from-to`` (range, on DA,
        TM and DT), wildcards ``*`` and ``?`` (on textual VRs), else a single value.
    case_sensitive : bool
        Whether case matters on the VRs that have it.
    empty_values : bool
        Whether ``""`` written as two quotation marks finds what has no value.

    Raises
    ------
    InvalidIdentifier
        Wildcards on a VR that has none, or very many of them.

    References
    ----------
    DICOM PS3.4 Sections C.2.2.2.1 to C.2.2.2.5.
    """
    vr = vr_of(tag)
    keyword = keyword_for_tag(tag)
    exact = case_sensitive or vr not in CASED_VRS
    text = text.strip(" \0")
    if not text or set(text) == {"*"}:
        return MatchingKey(tag, keyword, "universal", (), exact)
    if empty_values and text == EMPTY_VALUE:
        return MatchingKey(tag, keyword, "empty", (), exact)
    if vr in RANGE_VRS and "-" in text:
        lower, _, upper = text.partition("-")
        return MatchingKey(tag, keyword, "range", (lower.strip(), upper.strip()), exact)
    values = tuple(value.strip(" \0") for value in text.split("\\"))
    if any("*" in value or "?" in value for value in values):
        if vr not in WILDCARD_VRS:
            raise InvalidIdentifier(
                f"Wildcards are not allowed on tag {tag >> 16:04x},{tag & 0xFFFF:04x}"
            )
        if len(values) > MAX_PATTERNS:
            raise InvalidIdentifier(f"A key has more than {MAX_PATTERNS} values with wildcards")
        return MatchingKey(tag, keyword, "wildcard", values, exact)
    return MatchingKey(tag, keyword, "single", values, exact)


def widen_times(key: MatchingKey) -> MatchingKey:
    """Let a range of times take in what lies within it, however precisely it was written.

    ``1000-1100`` finds 110030 as well, and ``120000-`` finds 12: components that a time leaves out
    are unknown (PS3.5 Section 6.2, TM). Keys of other kinds and VRs stay as they are.
    """
    if key.kind != "range" or vr_of(key.tag) != "TM":
        return key
    lower, upper = key.values
    return replace(key, values=(without_zeros(lower), upper and upper + AFTER_DIGITS))


def without_zeros(time: str) -> str:
    """Leave out the components of a time that are zero, the hours apart: ``120000.0`` is 12."""
    digits, _, fraction = time.partition(".")
    if fraction.strip("0"):
        return f"{digits}.{fraction.rstrip('0')}"
    while len(digits) > 2 and digits.endswith("00"):
        digits = digits[:-2]
    return digits


AFTER_DIGITS: Final = ":"
"""The character that follows 9: with it behind, a text sorts after all that begin with it."""


def is_indexed(key: MatchingKey, level: str) -> bool:
    """Tell whether the index itself can answer this key at a level.

    Indexed are the main tags of the level and those above it, `ModalitiesInStudy` at study level
    and `SOPClassUID` at instance level (PS3.4 Section C.6.2.1.2 calls the tags of upper levels
    "relational").
    """
    if key.tag == MODALITIES_IN_STUDY:
        return level == "Study"
    if key.tag == SOP_CLASS_UID:
        return level == "Instance"
    for name, tags in MAIN_TAGS.items():
        if any(main.tag == key.tag for main in tags):
            return True
        if name == level:
            return False
    return False


@cache
def is_text_indexed(keyword: str, level: str) -> bool:
    """Tell whether the index has an attribute of a level, or of one above it, as text.

    Those are the main tags but for sequences, and what is computed (`COMPUTED_TAGS`);
    `SOPClassUID` and `InstanceAvailability` are at the instance level.
    """
    if keyword in ("SOPClassUID", "InstanceAvailability"):
        return level == "Instance"
    for name, tags in MAIN_TAGS.items():
        if keyword in COMPUTED_TAGS[name]:
            return True
        if any(main.keyword == keyword and vr_of(main.tag) != "SQ" for main in tags):
            return True
        if name == level:
            return False
    return False


def matches(key: MatchingKey, value: str | None) -> bool:
    r"""Apply a key to one attribute's text (values joined by ``\``); None where it is absent.

    As in Orthanc, a list of alternatives is compared with each value of an attribute that is not
    indexed, and with all of the text where it is; anything else always with all of the text.
    """
    if key.kind == "universal":
        return True
    if key.kind == "empty":
        return not value
    if value is None:
        return False
    if key.kind == "range":
        lower, upper = key.values
        return (not lower or value >= lower) and (not upper or value <= upper)
    fold = str if key.case_sensitive else str.lower
    value = fold(value)
    if key.kind == "single":
        wanted = {fold(alternative) for alternative in key.values}
        if len(key.values) > 1 and not _is_main_tag(key.tag):
            return not wanted.isdisjoint(part.strip(" ") for part in value.split("\\"))
        return value in wanted
    return any(wildcard_to_regex(fold(wanted)).fullmatch(value) for wanted in key.values)


def _is_main_tag(tag: int) -> bool:
    return any(main.tag == tag for tags in MAIN_TAGS.values() for main in tags)


def wildcard_to_regex(pattern: str) -> re.Pattern[str]:
    """Compile a DICOM wildcard (PS3.4 Section C.2.2.2.4) as a regular expression.

    What stands between two asterisks is taken where it comes first, for good: it takes no longer
    to find that a hostile pattern does not match.
    """
    first, *others = (_literal(part) for part in pattern.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    *inner, last = others
    between = "".join(f"(?>.*?{part})" for part in inner if part)
    return re.compile(f"{first}{between}.*{last}", re.DOTALL)


def _literal(part: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in part)


def wildcard_to_like(pattern: str) -> str:
    r"""Translate a DICOM wildcard to SQL's LIKE with ``\`` as escape character."""
    parts = {"*": "%", "?": "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(parts.get(character, character) for character in pattern)

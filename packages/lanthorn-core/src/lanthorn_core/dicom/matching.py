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
from dataclasses import dataclass
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

MatchingKind = Literal["universal", "single", "wildcard", "range"]


@dataclass(frozen=True, slots=True)
class MatchingKey:
    """One parsed constraint.

    `values` are the alternatives of `single` and `wildcard` matching (any of them), or
    (`lower`, `upper`) of a `range`, either of which may be empty for an open end. Comparison is of
    texts, exact or not minding case.
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


def parse_constraint(tag: int, text: str, *, case_sensitive: bool = True) -> MatchingKey:
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

    Raises
    ------
    InvalidIdentifier
        Wildcards on a VR that has none.

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
    if vr in RANGE_VRS and "-" in text:
        lower, _, upper = text.partition("-")
        return MatchingKey(tag, keyword, "range", (lower.strip(), upper.strip()), exact)
    values = tuple(value.strip(" \0") for value in text.split("\\"))
    if any("*" in value or "?" in value for value in values):
        if vr not in WILDCARD_VRS:
            raise InvalidIdentifier(
                f"Wildcards are not allowed on tag {tag >> 16:04x},{tag & 0xFFFF:04x}"
            )
        return MatchingKey(tag, keyword, "wildcard", values, exact)
    return MatchingKey(tag, keyword, "single", values, exact)


def is_indexed(key: MatchingKey, level: str) -> bool:
    """Tell whether the index itself can answer this key at a level.

    Indexed are the main tags of the level and those above it, and `ModalitiesInStudy` at study
    level (PS3.4 Section C.6.2.1.2 calls the tags of upper levels "relational").
    """
    if key.tag == MODALITIES_IN_STUDY:
        return level == "Study"
    for name, tags in MAIN_TAGS.items():
        if any(main.tag == key.tag for main in tags):
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
    """Compile a DICOM wildcard (PS3.4 Section C.2.2.2.4) as a regular expression."""
    parts = {"*": ".*", "?": "."}
    return re.compile(
        "".join(parts.get(character, re.escape(character)) for character in pattern), re.DOTALL
    )


def wildcard_to_like(pattern: str) -> str:
    r"""Translate a DICOM wildcard to SQL's LIKE with ``\`` as escape character."""
    parts = {"*": "%", "?": "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(parts.get(character, character) for character in pattern)

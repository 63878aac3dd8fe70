"""The tags that the index keeps of each level, as Orthanc 1.13 does by default.

References
----------
`MainDicomTags` of Orthanc's ``/system``; its option `ExtraMainDicomTags` adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from lanthorn_core.dicom.tags import format_tag


class MainTag(NamedTuple):
    """A tag kept in the index, and the keyword under which clients see it."""

    tag: int
    keyword: str


MAIN_TAGS: Final[Mapping[str, tuple[MainTag, ...]]] = MappingProxyType(
    {
        "Patient": (
            MainTag(0x0010_0010, "PatientName"),
            MainTag(0x0010_0020, "PatientID"),
            MainTag(0x0010_0030, "PatientBirthDate"),
            MainTag(0x0010_0040, "PatientSex"),
            MainTag(0x0010_1000, "OtherPatientIDs"),
        ),
        "Study": (
            MainTag(0x0008_0020, "StudyDate"),
            MainTag(0x0008_0030, "StudyTime"),
            MainTag(0x0008_0050, "AccessionNumber"),
            MainTag(0x0008_0080, "InstitutionName"),
            MainTag(0x0008_0090, "ReferringPhysicianName"),
            MainTag(0x0008_0201, "TimezoneOffsetFromUTC"),
            MainTag(0x0008_1030, "StudyDescription"),
            MainTag(0x0020_000D, "StudyInstanceUID"),
            MainTag(0x0020_0010, "StudyID"),
            MainTag(0x0032_1032, "RequestingPhysician"),
            MainTag(0x0032_1060, "RequestedProcedureDescription"),
        ),
        "Series": (
            MainTag(0x0008_0021, "SeriesDate"),
            MainTag(0x0008_0031, "SeriesTime"),
            MainTag(0x0008_0060, "Modality"),
            MainTag(0x0008_0070, "Manufacturer"),
            MainTag(0x0008_0201, "TimezoneOffsetFromUTC"),
            MainTag(0x0008_1010, "StationName"),
            MainTag(0x0008_103E, "SeriesDescription"),
            MainTag(0x0008_1070, "OperatorsName"),
            MainTag(0x0018_0010, "ContrastBolusAgent"),
            MainTag(0x0018_0015, "BodyPartExamined"),
            MainTag(0x0018_0024, "SequenceName"),
            MainTag(0x0018_1030, "ProtocolName"),
            MainTag(0x0018_1090, "CardiacNumberOfImages"),
            MainTag(0x0018_1400, "AcquisitionDeviceProcessingDescription"),
            MainTag(0x0020_000E, "SeriesInstanceUID"),
            MainTag(0x0020_0011, "SeriesNumber"),
            MainTag(0x0020_0037, "ImageOrientationPatient"),
            MainTag(0x0020_0105, "NumberOfTemporalPositions"),
            MainTag(0x0020_1002, "ImagesInAcquisition"),
            MainTag(0x0040_0244, "PerformedProcedureStepStartDate"),
            MainTag(0x0040_0245, "PerformedProcedureStepStartTime"),
            MainTag(0x0040_0254, "PerformedProcedureStepDescription"),
            MainTag(0x0040_0275, "RequestAttributesSequence"),
            MainTag(0x0054_0081, "NumberOfSlices"),
            MainTag(0x0054_0101, "NumberOfTimeSlices"),
            MainTag(0x0054_1000, "SeriesType"),
        ),
        "Instance": (
            MainTag(0x0008_0012, "InstanceCreationDate"),
            MainTag(0x0008_0013, "InstanceCreationTime"),
            MainTag(0x0008_0018, "SOPInstanceUID"),
            MainTag(0x0020_0012, "AcquisitionNumber"),
            MainTag(0x0020_0013, "InstanceNumber"),
            MainTag(0x0020_0032, "ImagePositionPatient"),
            MainTag(0x0020_0037, "ImageOrientationPatient"),
            MainTag(0x0020_0100, "TemporalPositionIdentifier"),
            MainTag(0x0020_4000, "ImageComments"),
            MainTag(0x0028_0008, "NumberOfFrames"),
            MainTag(0x0054_1330, "ImageIndex"),
        ),
    }
)
"""By level (the values of `lanthorn_core.model.Level`), in the order of the tags."""


def signature(level: str, extra: Iterable[int] = ()) -> str:
    """Name the tags kept of a level, as in `MainDicomTagsSignature`.

    Parameters
    ----------
    level : str
        ``Patient``, ``Study``, ``Series`` or ``Instance``.
    extra : iterable of int
        Tags added by configuration.

    Returns
    -------
    str
        ``gggg,eeee`` of every tag, sorted and joined by ``;``.
    """
    return _signature(level, tuple(extra))


@lru_cache(maxsize=64)
def _signature(level: str, extra: tuple[int, ...]) -> str:
    tags = {main.tag for main in MAIN_TAGS[level]} | set(extra)
    return ";".join(format_tag(tag) for tag in sorted(tags))

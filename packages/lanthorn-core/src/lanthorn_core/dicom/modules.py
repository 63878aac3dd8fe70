"""The tags of the ``module`` routes: what a data set says of its patient, study, series, instance.

References
----------
DICOM PS3.3-2011, Tables C.7-1, C.7-3, C.7-5a and C.12-1, as Orthanc has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_PATIENT: Final = """
    0008,1120 0010,0010 0010,0020 0010,0021 0010,0024 0010,0030 0010,0032 0010,0040 0010,1000
    0010,1001 0010,1002 0010,2160 0010,2201 0010,2202 0010,2292 0010,2293 0010,2294 0010,2297
    0010,2298 0010,2299 0010,4000 0012,0062 0012,0063 0012,0064
"""
_STUDY: Final = """
    0008,0020 0008,0030 0008,0050 0008,0051 0008,0090 0008,0096 0008,1030 0008,1032 0008,1048
    0008,1049 0008,1060 0008,1062 0008,1110 0020,000d 0020,0010 0032,1034 0040,1012
"""
# 0029,0109 is Orthanc's slip for 0028,0109; clients compare answers, so it stays.
_SERIES: Final = """
    0008,0021 0008,0031 0008,0060 0008,103e 0008,103f 0008,1050 0008,1052 0008,1070 0008,1072
    0008,1111 0008,1250 0010,2210 0018,0015 0018,1030 0018,5100 0020,000e 0020,0011 0020,0060
    0028,0108 0029,0109 0040,0244 0040,0245 0040,0253 0040,0254 0040,0260 0040,0275 0040,0280
"""
_INSTANCE: Final = """
    0008,0005 0008,0012 0008,0013 0008,0014 0008,0016 0008,0018 0008,001a 0008,001b 0008,0110
    0008,0201 0018,a001 0020,0013 0028,0303 0040,a390 0100,0410 0100,0420 0100,0424 0100,0426
    0400,0500 0400,0561 4ffe,0001 fffa,fffa
"""


def _tags(text: str) -> frozenset[int]:
    return frozenset(int(tag.replace(",", ""), 16) for tag in text.split())


MODULE_TAGS: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "Patient": _tags(_PATIENT),
        "Study": _tags(_STUDY),
        "Series": _tags(_SERIES),
        "Instance": _tags(_INSTANCE),
    }
)
"""By level: the tags of its module."""

"""Tags of the modules that the `module` routes show (reference 8.2).

References
----------
DICOM PS3.3-2011 Tables C.7-1, C.7-3, C.7-5a and C.12-1, as Orthanc has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lanthorn_core.model import Level


def _tags(groups: str) -> frozenset[int]:
    """Read ``gggg: eeee eeee; gggg: …``."""
    tags = set()
    for group in groups.split(";"):
        number, _, elements = group.partition(":")
        tags |= {int(number, 16) << 16 | int(element, 16) for element in elements.split()}
    return frozenset(tags)


MODULE_TAGS: Final[Mapping[Level, frozenset[int]]] = {
    Level.PATIENT: _tags(
        "0008: 1120; 0010: 0010 0020 0021 0024 0030 0032 0040 1000 1001 1002 2160 2201 2202 2292 "
        "2293 2294 2297 2298 2299 4000; 0012: 0062 0063 0064"
    ),
    Level.STUDY: _tags(
        "0008: 0020 0030 0050 0051 0090 0096 1030 1032 1048 1049 1060 1062 1110; 0020: 000d 0010; "
        "0032: 1034; 0040: 1012"
    ),
    Level.SERIES: _tags(
        "0008: 0021 0031 0060 103e 103f 1050 1052 1070 1072 1111 1250; 0010: 2210; "
        "0018: 0015 1030 5100; 0020: 000e 0011 0060; 0028: 0108 0109; "
        "0040: 0244 0245 0253 0254 0260 0275 0280"
    ),
    Level.INSTANCE: _tags(
        "0008: 0005 0012 0013 0014 0016 0018 001a 001b 0110 0201; 0018: a001; 0020: 0013; "
        "0028: 0303; 0040: a390; 0100: 0410 0420 0424 0426; 0400: 0500 0561; 4ffe: 0001; "
        "fffa: fffa"
    ),
}
"""By level: Patient, General Study, General Series and SOP Common."""

"""Names of folders and files in archives, as Orthanc 1.13.0 gives them.

``<PatientID> - <PatientName>/<AccessionNumber> - <StudyDescription>/<SeriesNumber> - <Modality> -
<SeriesDescription>/<MM><nnnnnn>.dcm``. Values come from the wire: what is left of them never
leads out of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_SEPARATORS: Final = re.compile(r'[/\\:*?"<>|]')
"""What file systems give a meaning becomes a space."""
_SPACES: Final = re.compile(" +")
_ONLY_DOTS: Final = re.compile(r"\.*")

Tags = Mapping[str, str]
"""Main tags of a resource: keyword to text."""


def patient_folder(tags: Tags) -> str:
    """Name the folder of a patient."""
    name = tags.get("PatientName", "")
    joined = f"{tags.get('PatientID', '')} - {name}" if name else tags.get("PatientID", "")
    return _cleaned(joined) or "Unknown Patient"


def study_folder(tags: Tags) -> str:
    """Name the folder of a study."""
    return _joined(tags, "AccessionNumber", "StudyDescription") or "Unknown Study"


def series_folder(tags: Tags) -> str:
    """Name the folder of a series."""
    return _joined(tags, "SeriesNumber", "Modality", "SeriesDescription") or "Unknown Series"


def file_names(modality: str, indexes: Sequence[int | None]) -> list[str]:
    """Name the files of a series.

    Parameters
    ----------
    modality : str
        Modality (0008,0060) of the series.
    indexes : sequence of int or None
        `IndexInSeries` of the instances, in the order of the names.

    Returns
    -------
    list of str
        Numbered by index when all differ (a missing one counts as 0), else from 0 on.
    """
    encoded = modality.encode()
    width = 8 - min(len(encoded), 2)
    prefix = _cleaned(encoded[:2].decode("ascii", "ignore").upper())
    numbers = [index or 0 for index in indexes]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(numbers)))
    return [f"{prefix}{number:0{width}}.dcm" for number in numbers]


class FolderNames:
    """Keeps the folders of one parent apart: the second of a name gets ``-2``, the third ``-3``.

    Upper and lower case count as the same, because they are on many disks.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, name: str) -> str:
        """Return the name, changed if it is taken."""
        found, number = name, 1
        while found.casefold() in self._taken:
            number += 1
            found = f"{name}-{number}"
        self._taken.add(found.casefold())
        return found


def _joined(tags: Tags, *keywords: str) -> str:
    return _cleaned(" - ".join(tags[keyword] for keyword in keywords if tags.get(keyword)))


def _cleaned(text: str) -> str:
    """Leave printable ASCII, without what file systems give a meaning; never ``.`` or ``..``."""
    ascii_text = "".join(char for char in text if " " <= char <= "~")
    name = _SPACES.sub(" ", _SEPARATORS.sub(" ", ascii_text)).strip()
    return "" if _ONLY_DOTS.fullmatch(name) else name

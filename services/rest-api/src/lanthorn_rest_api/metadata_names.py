"""Names and numbers of metadata (reference 1.10).

The index keeps user metadata under their numbers, so that a change of the configuration's names
does not lose them; clients see the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from lanthorn_core.errors import InexistentItem

SYSTEM_METADATA: Final[Mapping[str, int]] = {
    "IndexInSeries": 1,
    "ReceptionDate": 2,
    "RemoteAET": 3,
    "ExpectedNumberOfInstances": 4,
    "ModifiedFrom": 5,
    "AnonymizedFrom": 6,
    "LastUpdate": 7,
    "Origin": 8,
    "TransferSyntax": 9,
    "SopClassUid": 10,
    "RemoteIP": 11,
    "CalledAET": 12,
    "HttpUsername": 13,
    "PixelDataOffset": 14,
    "MainDicomTagsSignature": 15,
    "MainDicomSequences": 16,
    "PixelDataVR": 17,
}

FIRST_USER_NUMBER: Final = 1024
LAST_USER_NUMBER: Final = 65535

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


class MetadataNames:
    """Translate between what clients write and what the index keeps.

    Parameters
    ----------
    user_metadata : mapping of str to int
        Orthanc's option `UserMetadata`.
    """

    def __init__(self, user_metadata: Mapping[str, int]) -> None:
        self._numbers = {**SYSTEM_METADATA, **user_metadata}
        self._names = {number: name for name, number in self._numbers.items()}

    def number(self, text: str) -> int:
        """Read a name or a number.

        Raises
        ------
        InexistentItem
            It is neither.
        """
        if text in self._numbers:
            return self._numbers[text]
        if _NUMBER.fullmatch(text):
            return int(text)
        raise InexistentItem

    def key(self, text: str) -> str:
        """Return the key in the index of what a client names.

        Raises
        ------
        InexistentItem
            The client names nothing that is known.
        """
        number = self.number(text)
        system = self._names.get(number, "")
        return system if system in SYSTEM_METADATA else str(number)

    def number_of_key(self, key: str) -> int:
        """Return the number of a key of the index."""
        return SYSTEM_METADATA[key] if key in SYSTEM_METADATA else int(key)

    def shown(self, metadata: Mapping[str, str], *, numeric: bool = False) -> dict[str, str]:
        """Return metadata under the names that clients see, in the order of the numbers."""
        numbers = sorted((self.number_of_key(key), value) for key, value in metadata.items())
        if numeric:
            return {str(number): value for number, value in numbers}
        return {self._names.get(number, str(number)): value for number, value in numbers}


def is_user_metadata(number: int) -> bool:
    """Tell whether users may write this metadata."""
    return FIRST_USER_NUMBER <= number <= LAST_USER_NUMBER

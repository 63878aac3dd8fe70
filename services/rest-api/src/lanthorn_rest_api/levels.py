"""The four levels in paths and bodies (reference 1.2)."""

from __future__ import annotations

from typing import Final

from starlette.convertors import Convertor, register_url_convertor

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.model import LEVELS, Level

PLURALS: Final = {
    Level.PATIENT: "patients",
    Level.STUDY: "studies",
    Level.SERIES: "series",
    Level.INSTANCE: "instances",
}
"""First part of the paths of a level."""

_BY_PLURAL: Final = {plural: level for level, plural in PLURALS.items()}

_BY_NAME: Final = {
    **{level.lower(): level for level in LEVELS},
    **_BY_PLURAL,
    "image": Level.INSTANCE,
    "images": Level.INSTANCE,
}


class _LevelConvertor(Convertor[Level]):
    """Lets one route serve all levels: ``/{level:level}/{public_id}``."""

    regex = "|".join(_BY_PLURAL)

    def convert(self, value: str) -> Level:
        """Read the first part of a path."""
        return _BY_PLURAL[value]

    def to_string(self, value: Level) -> str:
        """Write the first part of a path."""
        return PLURALS[value]


register_url_convertor("level", _LevelConvertor())


def parse_level(text: str) -> Level:
    """Read a level as bodies name it, in singular or plural, whatever the case.

    Raises
    ------
    InvalidParameter
        There is no such level.
    """
    level = _BY_NAME.get(text.lower())
    if level is None:
        raise InvalidParameter(f"Invalid resource type '{text}'")
    return level


def path_of(level: Level, public_id: str) -> str:
    """Return the path of a resource."""
    return f"/{PLURALS[level]}/{public_id}"

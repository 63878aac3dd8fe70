"""The four levels in paths, alike in Orthanc and here."""

from __future__ import annotations

from typing import Final

from lanthorn_core.model import Level

PLURALS: Final = {
    Level.PATIENT: "patients",
    Level.STUDY: "studies",
    Level.SERIES: "series",
    Level.INSTANCE: "instances",
}


def path_of(level: Level, public_id: str) -> str:
    """Return the path of a resource."""
    return f"/{PLURALS[level]}/{public_id}"

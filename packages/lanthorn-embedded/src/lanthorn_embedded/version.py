"""Which Lanthorn this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Tell the version of the installed package."""
    return metadata.version("lanthorn-embedded")

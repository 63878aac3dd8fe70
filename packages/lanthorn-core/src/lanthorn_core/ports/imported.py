"""What another server knew of a resource, besides its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lanthorn_core.model import Level

ORIGIN: Final = frozenset({"CalledAET", "HttpUsername", "Origin", "RemoteAET", "RemoteIP"})
"""System metadata that say where an instance came from; they are told together."""

HISTORY: Final = ORIGIN | {"AnonymizedFrom", "ModifiedFrom", "ReceptionDate"}
"""System metadata that cannot be read from a file again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedResource:
    """One resource as it was there.

    `history` are system metadata (of `HISTORY`), `changed_at` is when an instance was received, or
    when something below another resource last was. `metadata` are those of users, by number.
    """

    level: Level
    public_id: str
    history: Mapping[str, str] = field(default_factory=dict)
    changed_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    is_protected: bool = False

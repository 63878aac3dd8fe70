"""Looking without touching: what an import would do, and whether one has done everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from lanthorn_core.model import LEVELS, Level
from lanthorn_embedded.importing.journal import Counts, Journal
from lanthorn_embedded.importing.levels import PLURALS
from lanthorn_embedded.importing.source import Source
from lanthorn_embedded.importing.target import Lanthorn

SHOWN_AT_MOST: Final = 20


async def survey(source: Source, target: Lanthorn, journal: Journal) -> Counts:
    """Count what an import would take over now."""
    counts = Counts()
    for level in LEVELS:
        async for page in source.pages(level):
            missing = [resource for resource, _ in journal.pending(level, page)]
            if level is Level.INSTANCE:
                stored = await target.stored(level, [r.public_id for r in missing])
                counts.files += len(missing) - len(stored)
                counts.files_there += len(stored)
            for resource in missing:
                counts.metadata += len(resource.metadata)
                counts.labels += len(resource.labels)
                counts.attachments += len(resource.user_attachments)
                counts.protected += resource.is_protected
    counts.modalities = len(set(await source.modalities()) - await target.modality_names())
    counts.peers = len(set(await source.peer_names()) - await target.peer_names())
    return counts


@dataclass(slots=True)
class Verification:
    """What a comparison of both servers found.

    `differing` counts files of another length: they came another way, or came without File Meta
    Information, which Lanthorn writes before them.
    """

    compared: Counter[Level] = field(default_factory=Counter)
    missing: Counter[Level] = field(default_factory=Counter)
    missing_ids: list[str] = field(default_factory=list)
    differing: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything of the source is there."""
        return not self.missing.total()

    def lines(self) -> list[str]:
        """Say it to people."""
        compared = ", ".join(f"{self.compared[level]:,} {PLURALS[level]}" for level in LEVELS)
        lines = [f"Compared: {compared}; missing: {self.missing.total():,}."]
        lines += [f"  missing: {subject}" for subject in self.missing_ids]
        if self.differing:
            lines.append(
                f"  {self.differing:,} files have another length than in the source: "
                "they were there already, or had no File Meta Information."
            )
        return lines


async def verify(source: Source, target: Lanthorn) -> Verification:
    """Compare the identifiers of all resources, and the lengths of all files."""
    found = Verification()
    for level in LEVELS:
        async for page in source.pages(level):
            stored = await target.stored(level, [resource.public_id for resource in page])
            found.compared[level] += len(page)
            for resource in page:
                size_bytes = stored.get(resource.public_id)
                if size_bytes is None:
                    found.missing[level] += 1
                    if len(found.missing_ids) < SHOWN_AT_MOST:
                        found.missing_ids.append(resource.subject)
                elif resource.file and resource.file.size_bytes not in {0, size_bytes}:
                    found.differing += 1
    return found

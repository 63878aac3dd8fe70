"""Elements in another encoding: here if they are few, in a worker process if they are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lanthorn_core.dicom.elements import ElementHeader
from lanthorn_core.dicom.encodings import encoding_of
from lanthorn_core.dicom.reencode import Replacements, reencode_elements
from lanthorn_core.errors import DecodeFailed, InvalidDataset, UnsupportedTransferSyntax
from lanthorn_renderer.pool import DecoderPool

IN_LOOP_BYTES: Final = 64 << 10
"""What is written anew sooner than a worker would begin."""


@dataclass(frozen=True, slots=True)
class ElementsJob:
    """Elements, in `data` from `start` on, and how they are and shall be written."""

    data: bytes
    start: int
    elements: tuple[ElementHeader, ...]
    source_uid: str
    target_uid: str
    replacements: Replacements


def write_elements(job: ElementsJob) -> bytes:
    """Write elements in another encoding.

    Raises
    ------
    DecodeFailed
        A sequence is broken.
    UnsupportedTransferSyntax
        A sequence has compressed pixels.
    """
    source, target = encoding_of(job.source_uid), encoding_of(job.target_uid)
    if source is None or target is None:
        raise UnsupportedTransferSyntax(f"Cannot transcode from {job.source_uid}")
    try:
        return b"".join(
            reencode_elements(
                job.data,
                job.start,
                job.elements,
                source,
                target,
                replacements=job.replacements,
            )
        )
    except InvalidDataset as exc:
        raise DecodeFailed(exc.details) from exc


async def written(job: ElementsJob, pool: DecoderPool) -> bytes:
    """Write elements in another encoding; raises as `write_elements` does."""
    if len(job.data) <= IN_LOOP_BYTES:
        return write_elements(job)
    return await pool.run(write_elements, job)

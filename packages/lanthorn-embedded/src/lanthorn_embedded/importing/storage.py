"""Orthanc's storage area: files by UUID below two levels of folders, compressed or not."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import Final

from lanthorn_embedded.importing.content import PIECE_BYTES, Content, closed_on_failure
from lanthorn_embedded.importing.source import SourceAttachment, UnreadableFile

UNCOMPRESSED: Final = 1
ZLIB_WITH_SIZE: Final = 2
"""The length of the content in 8 bytes, little endian, then a zlib stream; nothing when empty."""

_SIZE_PREFIX_BYTES: Final = 8


def path_of(folder: Path, uuid: str) -> Path:
    """Return where the file of a UUID lies: ``aa/bb/aabb…``."""
    return folder / uuid[:2] / uuid[2:4] / uuid


async def read_stored(folder: Path, attachment: SourceAttachment) -> Content:
    """Read a file of the storage area and check it.

    Raises
    ------
    UnreadableFile
        It is missing, damaged, not of the size or MD5 that the index says, or compressed in a way
        that no Orthanc of today uses.
    """
    # In a thread: the disk may be slow, and inflating is work.
    return await asyncio.to_thread(_read, path_of(folder, attachment.uuid), attachment)


def _read(path: Path, attachment: SourceAttachment) -> Content:
    try:
        content = _opened(path, attachment)
    except (OSError, zlib.error) as exc:
        raise UnreadableFile(f"{path} cannot be read: {exc}") from exc
    with closed_on_failure(content):
        if content.size_bytes != attachment.size_bytes:
            raise UnreadableFile(
                f"{path} holds {content.size_bytes} bytes, not {attachment.size_bytes}"
            )
        if attachment.md5 and content.md5 != attachment.md5:
            raise UnreadableFile(f"{path} has the MD5 {content.md5}, not {attachment.md5}")
    return content


def _opened(path: Path, attachment: SourceAttachment) -> Content:
    if attachment.compression == UNCOMPRESSED:
        with closed_on_failure(Content(path.open("rb"))) as content:
            for piece in content.pieces():
                content.count(piece)
        return content
    if attachment.compression == ZLIB_WITH_SIZE:
        return _inflated(path, at_most=attachment.size_bytes)
    raise UnreadableFile(f"{path} has the unknown compression {attachment.compression}")


def _inflated(path: Path, *, at_most: int) -> Content:
    inflate = zlib.decompressobj()
    with path.open("rb") as file, closed_on_failure(Content()) as content:
        file.seek(_SIZE_PREFIX_BYTES)
        while compressed := inflate.unconsumed_tail or file.read(PIECE_BYTES):
            content.write(inflate.decompress(compressed, PIECE_BYTES))
            if inflate.eof or content.size_bytes > at_most:
                break
    return content

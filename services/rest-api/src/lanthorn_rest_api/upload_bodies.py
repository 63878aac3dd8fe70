"""Bodies of uploads: received without ever holding a large one, and taken apart into files."""

from __future__ import annotations

import mmap
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from lanthorn_core.dicom.encodings import detect_transfer_syntax
from lanthorn_core.dicom.part10 import is_part10, normalize_upload
from lanthorn_core.errors import InvalidDataset
from lanthorn_rest_api.inflation import Gunzip
from lanthorn_rest_api.threads import in_thread
from lanthorn_rest_api.upload_spool import SpooledUpload
from lanthorn_rest_api.zip_reading import Archive, UnreadableEntry, ZipEntry, ZipReading

log = structlog.get_logger(__name__)

_FLUSH_BYTES: Final = 1 << 20
_LONGEST_BOUNDARY: Final = 70
"""RFC 2046 Section 5.1.1."""
_FIRST_GROUPS: Final = frozenset({b"\x02\x00", b"\x08\x00", b"\x00\x08"})
"""Group 0002, and group 0008 in both byte orders: what a data set without preamble begins with."""
_LARGEST_BARE_DATASET_BYTES: Final = 256 << 20
"""A data set without File Meta Information is completed in memory."""


def multipart_boundary(content_type: str) -> str:
    """Return the boundary of a multipart/form-data body; empty when it is none."""
    kind, options = parse_options_header(content_type)
    if kind.lower() != b"multipart/form-data":
        return ""
    return options.get(b"boundary", b"").decode("latin-1")


async def receive(
    chunks: AsyncIterator[bytes], into: SpooledUpload, gunzip: Gunzip | None = None
) -> None:
    """Receive a whole body.

    Parameters
    ----------
    chunks : async iterator of bytes
        The body as it comes.
    into : SpooledUpload
        Where it goes.
    gunzip : Gunzip, optional
        For a body of ``Content-Encoding: gzip``.

    Raises
    ------
    InvalidDataset
        The body is not the gzip stream that it should be.
    StorageFull, StorageUnavailable
        The spool folder does not take it.
    """
    pending: list[bytes] = []
    pending_bytes = 0
    async for chunk in chunks:
        pending.append(chunk)
        pending_bytes += len(chunk)
        if pending_bytes >= _FLUSH_BYTES:
            await _flush(pending, pending_bytes, into, gunzip)
            pending, pending_bytes = [], 0
    await _flush(pending, pending_bytes, into, gunzip)
    if gunzip is not None:
        gunzip.finish()


async def _flush(
    pending: Sequence[bytes], pending_bytes: int, into: SpooledUpload, gunzip: Gunzip | None
) -> None:
    if gunzip is not None:
        await in_thread(_inflate, pending, into, gunzip)
    elif into.would_touch_disk(pending_bytes):
        await in_thread(into.write_all, pending)
    else:
        into.write_all(pending)


def _inflate(pending: Sequence[bytes], into: SpooledUpload, gunzip: Gunzip) -> None:
    for chunk in pending:
        into.write_all(gunzip.feed(chunk))


async def parts_of(
    chunks: AsyncIterator[bytes], boundary: str, spool_folder: Path
) -> AsyncIterator[SpooledUpload]:
    """Take a multipart/form-data body (RFC 7578) apart, one part at a time.

    What a part calls itself is of no interest; a part lives until the next one is asked for.

    Raises
    ------
    InvalidDataset
        The body does not follow its boundary, or ends before its last one.
    """
    parser = _PartParser(boundary)
    part: SpooledUpload | None = None
    try:
        async for chunk in chunks:
            for data in parser.feed(chunk):
                if data is None:
                    if part is not None:
                        yield part
                        part.discard()
                    part = None
                    continue
                part = part or SpooledUpload(spool_folder)
                await _flush([data], len(data), part, None)
        if not parser.has_ended:
            raise InvalidDataset("Truncated multipart/form-data body")
    finally:
        if part is not None:
            part.discard()


class _PartParser:
    """`python_multipart` as a function from chunks to contents of parts; None ends a part."""

    def __init__(self, boundary: str) -> None:
        self._events: list[bytes | None] = []
        self.has_ended = False
        if len(boundary) > _LONGEST_BOUNDARY:
            raise InvalidDataset("The boundary of the multipart/form-data body is too long")
        self._parser = MultipartParser(
            boundary.encode("latin-1"),
            {
                "on_part_begin": lambda: self._events.append(b""),
                "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                "on_part_end": lambda: self._events.append(None),
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes | None]:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidDataset("Cannot parse the multipart/form-data body") from error
        events = self._events[:]
        self._events.clear()
        return events

    def _end(self) -> None:
        self.has_ended = True


def looks_like_dicom(beginning: bytes) -> bool:
    """Whether it is worth while to read on: a DICOM file, or perhaps a bare data set."""
    return is_part10(beginning) or (
        beginning[:2] in _FIRST_GROUPS and detect_transfer_syntax(beginning) is not None
    )


def as_dicom_file(upload: SpooledUpload) -> Sequence[bytes] | Path:
    """Take an upload as a DICOM file, with File Meta Information if it came without.

    Touches the disk if the upload is there.

    Raises
    ------
    InvalidDataset
        It is neither a file nor a bare data set.
    """
    if not looks_like_dicom(upload.beginning):
        raise InvalidDataset("neither a DICOM file nor a data set")
    is_file = is_part10(upload.beginning)
    if not is_file and upload.size_bytes > _LARGEST_BARE_DATASET_BYTES:
        raise InvalidDataset("a bare data set is too large")
    content = upload.take()
    if isinstance(content, bytes):
        return [normalize_upload(content)]
    if is_file:
        return content
    try:
        return [normalize_upload(content.read_bytes())]
    finally:
        content.unlink(missing_ok=True)


@contextmanager
def opened_archive(upload: SpooledUpload) -> Iterator[Archive]:
    """Lay an upload out as one run of bytes: itself, or the mapped file."""
    content = upload.take()
    if isinstance(content, bytes):
        yield content
        return
    try:
        with (
            content.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            yield mapped
    finally:
        content.unlink(missing_ok=True)


class ArchivedFiles:
    """The DICOM files of an archive; all else in it is passed over.

    Parameters
    ----------
    reading : ZipReading
        The archive.
    spool_folder : Path
        Where large files go.
    """

    def __init__(self, reading: ZipReading, spool_folder: Path) -> None:
        self._reading = reading
        self._spool_folder = spool_folder
        self._entries = reading.entries()
        self._complaint = ""

    def require_all_readable(self) -> None:
        """Complain of files that could not be had, once all others were.

        Raises
        ------
        InvalidDataset
            There were such files: who sent them shall not think that they are kept.
        """
        if self._complaint:
            raise InvalidDataset(f"Cannot read a file of the ZIP archive: {self._complaint}")

    def next_file(self) -> SpooledUpload | None:
        """Inflate the next file that looks like DICOM; None when there is none left. Blocks."""
        for entry in self._entries:
            if entry.is_folder:
                continue
            upload = SpooledUpload(self._spool_folder)
            try:
                if self._inflate(entry, upload):
                    return upload
            except BaseException:
                upload.discard()
                raise
            upload.discard()
        return None

    def _inflate(self, entry: ZipEntry, upload: SpooledUpload) -> bool:
        has_looked = False
        try:
            for piece in self._reading.inflate(entry):
                upload.write(piece)
                if not has_looked and upload.has_beginning:
                    has_looked = True
                    if not looks_like_dicom(upload.beginning):
                        return False
        except UnreadableEntry as error:
            log.warning("zip_entry_passed_over", reason=str(error))
            self._complaint = self._complaint or str(error)
            return False
        return looks_like_dicom(upload.beginning)

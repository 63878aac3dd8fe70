"""Orthanc's own SQLite index, opened so that neither it nor its Orthanc is disturbed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from lanthorn_embedded.importing.index import Row
from lanthorn_embedded.importing.source import SourceUnavailable

_SHARED_FIRST: Final = 0x40000002
_SHARED_SIZE: Final = 510
"""Where SQLite's readers lock a database file (its documentation: "File Locking")."""

_COPY_ATTEMPTS: Final = 5
_PAUSE_S: Final = 1.0


@asynccontextmanager
async def open_sqlite_index(path: Path) -> AsyncIterator[SqliteIndex]:
    """Open the index of a storage folder.

    Where no Orthanc runs on it and everything is in the one file, it is read where it lies.
    Otherwise a copy is read, with what lies in the write-ahead log: a running Orthanc lets nobody
    else into its file.

    Raises
    ------
    SourceUnavailable
        There is no index, or it cannot be read.
    """
    with _readable(path) as uri:
        try:
            # All statements run in threads, one at a time: see `SqliteIndex.rows`.
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.Error as exc:
            raise SourceUnavailable(f"{path} cannot be read: {exc}") from exc
        # Values of metadata may be any bytes.
        connection.text_factory = bytes
        with closing(connection):
            yield SqliteIndex(connection, path)


class SqliteIndex:
    """See `Index` for the contract."""

    patient_type = 1

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._turn = asyncio.Lock()

    async def rows(self, statement: str, *parameters: object) -> Sequence[Row]:
        """Return what a statement finds; texts that are UTF-8 come as such, others as bytes."""
        places = [f"?{place + 1}" for place in range(len(parameters))]
        numbered = statement.format(*places, md5="uncompressedMD5")
        async with self._turn:
            # In a thread: a page of a large index may take a while.
            return await asyncio.to_thread(self._fetch, numbered, parameters)

    def _fetch(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        try:
            found = self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as exc:
            raise SourceUnavailable(f"{self._path} cannot be read: {exc}") from exc
        return [tuple(map(_text_if_it_is_one, row)) for row in found]

    async def has_table(self, name: str) -> bool:
        """Tell whether a table exists."""
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = {0}"
        return bool(await self.rows(statement, name))


def _text_if_it_is_one(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


@contextmanager
def _readable(path: Path) -> Iterator[str]:
    """Give the URI of something that can be read in peace."""
    try:
        with path.open("rb") as file:
            if _is_settled(path) and _lock_as_reader(file.fileno()):
                # Nothing is locked or created by SQLite; our own lock keeps writers out.
                yield f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                return
        with tempfile.TemporaryDirectory(prefix="lanthorn-import-") as folder:
            copy = Path(folder) / "index"
            _copy(path, copy)
            yield copy.as_uri()
    except OSError as exc:
        raise SourceUnavailable(f"{path} cannot be read: {exc}") from exc


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _is_settled(path: Path) -> bool:
    log = _log_of(path)
    return not log.exists() or log.stat().st_size == 0


def _lock_as_reader(descriptor: int) -> bool:
    try:
        fcntl.lockf(
            descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST, os.SEEK_SET
        )
    except OSError:
        return False
    return True


def _copy(path: Path, copy: Path) -> None:
    """Copy database and log while neither of them changes, so that the two belong together."""
    for attempt in range(_COPY_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S)
        before = _state(path)
        shutil.copyfile(path, copy)
        if _log_of(path).exists():
            shutil.copyfile(_log_of(path), _log_of(copy))
        if _state(path) == before:
            return
    raise SourceUnavailable(
        f"the Orthanc that runs on {path} writes all the time: stop it, or import over REST"
    )


def _state(path: Path) -> list[tuple[int, int]]:
    """Tell when database and log were last written, and their lengths."""
    return [
        (status.st_mtime_ns, status.st_size)
        for file in (path, _log_of(path))
        if file.exists() and (status := file.stat())
    ]

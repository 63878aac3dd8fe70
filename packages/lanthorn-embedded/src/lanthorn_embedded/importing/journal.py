"""What an import has done, on the disk, so that it can be interrupted at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Final

from lanthorn_core.model import Level
from lanthorn_embedded.errors import ConfigurationError, EmbeddedError
from lanthorn_embedded.importing.source import SourceResource

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journey (source TEXT NOT NULL, target TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resource (
    level INTEGER NOT NULL, public_id TEXT NOT NULL, state INTEGER NOT NULL,
    last_update TEXT NOT NULL DEFAULT '',
    -- What was taken over with it.
    files INTEGER NOT NULL DEFAULT 0, files_there INTEGER NOT NULL DEFAULT 0,
    metadata INTEGER NOT NULL DEFAULT 0, labels INTEGER NOT NULL DEFAULT 0,
    attachments INTEGER NOT NULL DEFAULT 0, protected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (level, public_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failure (
    subject TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS failure_of_subject ON failure (subject);
CREATE TABLE IF NOT EXISTS modality (name TEXT PRIMARY KEY);
"""


_KEPT_COUNTS: Final = 6
"""So many `Counts`, the first ones, are kept for each resource."""


class JournalFailed(EmbeddedError):
    """The journal cannot be written or read."""

    slug = "import-journal-failed"


@dataclass(slots=True)
class Counts:
    """What was taken over, or would be; each is a number of things."""

    files: int = 0
    files_there: int = 0
    metadata: int = 0
    labels: int = 0
    attachments: int = 0
    protected: int = 0
    modalities: int = 0
    peers: int = 0


class State(IntEnum):
    """How far a resource has come."""

    SENDING = 1
    """Its file was on its way: if it is there now, it came from us."""
    STORED = 2
    """Its file is there because of us; something that belongs to it is missing."""
    FOUND = 3
    """Its file was there before; something that belongs to it is missing."""
    DONE = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was not taken over.

    `subject` is like ``Instance 1f2e…`` or ``peer abc``, `what` one of the names of `Counts`.
    """

    subject: str
    what: str
    reason: str


@contextmanager
def open_journal(path: Path, source: str, target: str) -> Iterator[Journal]:
    """Open the journal of an import, or begin one.

    Raises
    ------
    ConfigurationError
        It is that of another import.
    JournalFailed
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as exc:
        raise JournalFailed(f"the journal {path} cannot be opened: {exc}") from exc
    with closing(connection), _translated(path):
        # A killed process loses nothing by it; after a power failure the target is asked.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        known = connection.execute("SELECT source, target FROM journey").fetchone()
        if known is None:
            connection.execute("INSERT INTO journey VALUES (?, ?)", (source, target))
        elif known != (source, target):
            raise ConfigurationError(
                f"the journal {path} belongs to the import from {known[0]} to {known[1]}"
            )
        yield Journal(connection)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise JournalFailed(f"the journal {path} cannot be used: {exc}") from exc


class Journal:
    """See `open_journal`; each call is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def pending(
        self, level: Level, page: Sequence[SourceResource]
    ) -> list[tuple[SourceResource, State | None]]:
        """Return the resources that are not complete, each with how far it has come.

        A patient, study or series is not complete either when something came into it since.
        """
        rows = self._connection.execute(
            "SELECT public_id, state, last_update FROM resource"
            " WHERE level = ? AND public_id IN (SELECT value FROM json_each(?))",
            (level.depth, json.dumps([resource.public_id for resource in page])),
        )
        known = {public_id: (State(state), last_update) for public_id, state, last_update in rows}
        return [
            (resource, known.get(resource.public_id, (None, ""))[0])
            for resource in page
            if known.get(resource.public_id) != (State.DONE, resource.last_update)
        ]

    def set_state(self, level: Level, public_id: str, state: State) -> None:
        """Write down how far a resource has come."""
        self._connection.execute(
            "INSERT OR REPLACE INTO resource (level, public_id, state) VALUES (?, ?, ?)",
            (level.depth, public_id, state),
        )

    def finish(self, resources: Sequence[tuple[SourceResource, State, Counts]]) -> None:
        """Write down what was taken over with resources, and whether that is all of it."""
        with self._connection as connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(resource.level.depth, resource.public_id, state, resource.last_update),
                        *astuple(counts)[:_KEPT_COUNTS],
                    )
                    for resource, state, counts in resources
                ],
            )

    def add_modality(self, name: str) -> None:
        """Write down that a remote AE was taken over."""
        self._connection.execute("INSERT OR IGNORE INTO modality VALUES (?)", (name,))

    def begin_anew(self, subject: str) -> None:
        """Forget the failures of what is tried again."""
        self._connection.execute("DELETE FROM failure WHERE subject = ?", (subject,))

    def fail(self, failure: Failure) -> None:
        """Write down what was not taken over, and why."""
        self._connection.execute(
            "INSERT INTO failure VALUES (?, ?, ?)",
            (failure.subject, failure.what, failure.reason),
        )

    def counts(self) -> Counts:
        """Count what was taken over so far, in all runs."""
        sums = ", ".join(
            f"coalesce(sum({count.name}), 0)" for count in fields(Counts)[:_KEPT_COUNTS]
        )
        row = self._connection.execute(f"SELECT {sums} FROM resource").fetchone()  # noqa: S608
        [modalities] = self._connection.execute("SELECT count(*) FROM modality").fetchone()
        counts = Counts(*row)
        counts.modalities = modalities
        return counts

    def failure_counts(self) -> Counts:
        """Count what was not taken over."""
        rows = self._connection.execute("SELECT what, count(*) FROM failure GROUP BY what")
        return Counts(**dict(rows))

    def failures(self) -> Iterator[Failure]:
        """Give everything that was not taken over."""
        for row in self._connection.execute("SELECT subject, what, reason FROM failure"):
            yield Failure(*row)

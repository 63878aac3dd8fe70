"""`lanthorn import orthanc`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lanthorn_embedded.datafolder import default_data_folder
from lanthorn_embedded.errors import ConfigurationError
from lanthorn_embedded.importing.index import IndexedStorage
from lanthorn_embedded.importing.index_postgres import open_postgres_index
from lanthorn_embedded.importing.index_sqlite import open_sqlite_index
from lanthorn_embedded.importing.journal import Counts, Journal, open_journal
from lanthorn_embedded.importing.passwords import find_password
from lanthorn_embedded.importing.progress import Progress
from lanthorn_embedded.importing.report import counted, report_lines
from lanthorn_embedded.importing.rest import open_rest_source
from lanthorn_embedded.importing.server_client import parse_address
from lanthorn_embedded.importing.source import Source
from lanthorn_embedded.importing.survey import survey, verify
from lanthorn_embedded.importing.target import Lanthorn, open_target
from lanthorn_embedded.importing.transfer import Transfer

_FROM_PASSWORD = "LANTHORN_IMPORT_PASSWORD"  # noqa: S105
_TO_PASSWORD = "LANTHORN_IMPORT_TO_PASSWORD"  # noqa: S105


def import_command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Import, and return the exit status: 0 when everything was taken over.

    Raises
    ------
    ConfigurationError
        An argument is wrong, or names something that is not what it should be.
    EmbeddedError
        The import could not go on.
    """
    try:
        return asyncio.run(_import(options, environ))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; the same command goes on from here.\n")
        return 1
    except ExceptionGroup as group:
        raise _first_of(group) from group


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    """Return why tasks ended: what one met the others met, too."""
    failure: Exception = group
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    return failure


async def _import(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    address = parse_address(options.to)
    password = find_password(
        address.password, options.to_password_file, environ, _TO_PASSWORD, address.username
    )
    async with (
        open_target(replace(address, password=password), options.in_flight) as target,
        _open_source(options, environ) as source,
    ):
        path = options.journal or _journal_path(environ, source, target)
        with open_journal(path, source.name, target.name) as journal:
            return await _run(options, source, target, journal, path)


async def _run(
    options: argparse.Namespace, source: Source, target: Lanthorn, journal: Journal, path: Path
) -> int:
    totals = await source.totals()
    _say(f"From {source.name} to {target.name}; journal: {path}")
    if options.dry_run:
        _say(f"Would be taken over: {counted(await survey(source, target, journal))}.")
        return 0
    progress = Progress(totals, sys.stdout)
    try:
        await Transfer(source, target, journal, progress, options.in_flight)()
    finally:
        progress.end()
    is_complete = journal.failure_counts() == Counts()
    for line in report_lines(journal, path.with_name(f"{path.name}.failures.txt")):
        _say(line)
    if options.verify:
        verification = await verify(source, target)
        is_complete = is_complete and verification.is_complete
        for line in verification.lines():
            _say(line)
    return 0 if is_complete else 1


@asynccontextmanager
async def _open_source(
    options: argparse.Namespace, environ: Mapping[str, str]
) -> AsyncIterator[Source]:
    if "://" in options.source:
        if options.index or options.index_folder:
            raise ConfigurationError("an index belongs to a storage folder, not to an address")
        address = parse_address(options.source)
        password = find_password(
            address.password, options.password_file, environ, _FROM_PASSWORD, address.username
        )
        known = replace(address, password=password)
        async with open_rest_source(known, options.in_flight) as source:
            yield source
        return
    folder = _existing_folder(options.source)
    if options.index:
        given = _password_in(options.index)
        password = find_password(given, options.password_file, environ, _FROM_PASSWORD, "")
        async with open_postgres_index(options.index, password) as index:
            yield IndexedStorage(folder, index)
        return
    file: Path = (options.index_folder or folder) / "index"
    async with open_sqlite_index(file) as sqlite_index:
        yield IndexedStorage(folder, sqlite_index)


def _password_in(url: str) -> str:
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError as exc:
        raise ConfigurationError("an index is named like postgresql://user@host/database") from exc


def _existing_folder(text: str) -> Path:
    folder = Path(text).absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}")
    return folder


def _journal_path(environ: Mapping[str, str], source: Source, target: Lanthorn) -> Path:
    journey = hashlib.sha256(f"{source.name}\n{target.name}".encode()).hexdigest()[:12]
    folder = default_data_folder(environ)
    return folder.with_name(f"{folder.name}-imports") / f"orthanc-{journey}.journal"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

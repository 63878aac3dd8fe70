"""`RemoteAERegistry`: the configuration's entries below those of the database, cached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.registry_postgres.statements import SQL
from lanthorn_core.errors import IndexUnavailable, UnknownRemoteAE
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.remote_aes import RegistrySignals

log = structlog.get_logger(__name__)


class PostgresRemoteAERegistry:
    """See `RemoteAERegistry` for the contract.

    A change is written to the database and announced; whoever hears of it reads again before the
    next answer. A signal that is lost costs `FRESH_S` at most.

    Parameters
    ----------
    pool : asyncpg.Pool
        Connections that may write.
    signals : RegistrySignals
        Where changes are announced.
    configured : mapping
        The entries of the configuration, by symbolic name.
    strict : bool
        Case matters in AE titles (`StrictAetComparison`).
    """

    FRESH_S: Final = 5.0
    PATIENCE_S: Final = 2.0
    """For the database; past it the last known entries serve."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        signals: RegistrySignals,
        configured: Mapping[str, RemoteAE],
        *,
        strict: bool = False,
    ) -> None:
        self._pool = pool
        self._signals = signals
        self._configured = dict(configured)
        self._strict = strict
        self._known: Mapping[str, RemoteAE] = _sorted(self._configured)
        self._fresh_until = 0.0
        self._changes_heard = 0
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Hear of changes from now on."""
        await self._signals.on_change(self._forget)

    def _forget(self) -> None:
        self._changes_heard += 1
        self._fresh_until = 0.0

    async def all(self) -> Mapping[str, RemoteAE]:
        """All remote AEs by symbolic name, in the order of the names."""
        if time.monotonic() < self._fresh_until:
            return self._known
        async with self._reading:
            if time.monotonic() >= self._fresh_until:
                await self._read()
        return self._known

    async def _read(self) -> None:
        heard = self._changes_heard
        try:
            async with translated(), asyncio.timeout(self.PATIENCE_S):
                rows = await self._pool.fetch(SQL["remote_aes"])
        except IndexUnavailable as error:
            log.warning("remote_aes_not_read", error=error.slug)
        else:
            known = dict(self._configured)
            for row in rows:
                if _remote_ae(row["configured"]) != self._configured.get(row["name"]):
                    continue  # the configuration has changed since, and counts again
                entry = _remote_ae(row["entry"])
                if entry is None:
                    known.pop(row["name"], None)
                else:
                    known[row["name"]] = entry
            self._known = _sorted(known)
        if heard == self._changes_heard:  # else what was read may be older than the change
            self._fresh_until = time.monotonic() + self.FRESH_S

    async def get(self, name: str) -> RemoteAE:
        """Return one remote AE."""
        remote_ae = (await self.all()).get(name)
        if remote_ae is None:
            raise UnknownRemoteAE(f"No modality with symbolic name: {name}")
        return remote_ae

    async def by_ae_title(self, ae_title: str) -> Sequence[tuple[str, RemoteAE]]:
        """Return those with an AE title, with their names."""
        wanted = self._comparable(ae_title)
        return [
            (name, remote_ae)
            for name, remote_ae in (await self.all()).items()
            if self._comparable(remote_ae.ae_title) == wanted
        ]

    def _comparable(self, ae_title: str) -> str:
        # PS3.5 Section 6.2: outer spaces of an AE title are not significant.
        ae_title = ae_title.strip(" ")
        return ae_title if self._strict else ae_title.upper()

    async def put(self, name: str, remote_ae: RemoteAE) -> None:
        """Add or replace a remote AE."""
        await self._change(name, msgspec.to_builtins(remote_ae))

    async def delete(self, name: str) -> bool:
        """Forget a remote AE; False when there is none."""
        self._forget()
        if name not in await self.all():
            return False
        await self._change(name, None)
        return True

    async def _change(self, name: str, entry: dict[str, Any] | None) -> None:
        remote_ae = self._configured.get(name)
        configured = None if remote_ae is None else msgspec.to_builtins(remote_ae)
        async with translated():
            if entry is None and configured is None:
                await self._pool.execute(SQL["forget_remote_ae"], name)
            else:
                await self._pool.execute(SQL["put_remote_ae"], name, entry, configured)
        self._forget()
        await self._signals.announce_change()


def _remote_ae(document: dict[str, Any] | None) -> RemoteAE | None:
    return None if document is None else msgspec.convert(document, RemoteAE)


def _sorted(entries: Mapping[str, RemoteAE]) -> Mapping[str, RemoteAE]:
    return MappingProxyType(dict(sorted(entries.items())))

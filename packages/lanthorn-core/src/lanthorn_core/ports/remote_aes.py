"""The remote application entities that this system knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lanthorn_core.model import RemoteAE


class RemoteAERegistry(Protocol):
    """Remote AEs by symbolic name: those of the configuration, as changed at run time.

    A change is seen by every process at once. Reading costs no round trip while nothing changed;
    when the database does not answer, what was last known is served.
    """

    async def all(self) -> Mapping[str, RemoteAE]:
        """All remote AEs by symbolic name, in the order of the names."""
        ...

    async def get(self, name: str) -> RemoteAE:
        """Return one remote AE; raises `UnknownRemoteAE`."""
        ...

    async def by_ae_title(self, ae_title: str) -> Sequence[tuple[str, RemoteAE]]:
        """Return those with an AE title (`StrictAetComparison` decides on case), with names."""
        ...

    async def put(self, name: str, remote_ae: RemoteAE) -> None:
        """Add or replace a remote AE; raises `IndexUnavailable`."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget a remote AE; False when there is none. Raises `IndexUnavailable`."""
        ...


class RegistrySignals(Protocol):
    """What makes every process read again at once; a lost signal is made up for by time."""

    async def announce_change(self) -> None:
        """Say that remote AEs were changed; on return the server has passed it on."""
        ...

    async def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` at every change from now on."""
        ...

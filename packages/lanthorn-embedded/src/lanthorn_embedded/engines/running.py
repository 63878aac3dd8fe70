"""Which engines this machine has to run, given what the environment already names."""

from __future__ import annotations

from collections.abc import Mapping

from lanthorn_embedded.child import ChildSpec
from lanthorn_embedded.datafolder import DataFolder
from lanthorn_embedded.engines.nats import NatsEngine
from lanthorn_embedded.engines.postgres import PostgresEngine


class Engines:
    """The private servers of one data folder.

    Parameters
    ----------
    folder : DataFolder
        Made, and locked by us.
    environment : mapping
        ``DATABASE_URL`` and ``NATS_URL`` in it replace a server of ours.
    needs_bus : bool
        Whether nats-server is needed at all.

    Raises
    ------
    EngineFailed
        A server of ours cannot run here.
    """

    def __init__(
        self, folder: DataFolder, environment: Mapping[str, str], *, needs_bus: bool = True
    ) -> None:
        self._environment = environment
        self._postgres: PostgresEngine | None = None
        self._nats: NatsEngine | None = None
        if "DATABASE_URL" not in environment:
            self._postgres = PostgresEngine(folder.postgres, folder.postgres_socket)
        if "NATS_URL" not in environment and needs_bus:
            self._nats = NatsEngine(folder.nats)

    def specs(self) -> list[ChildSpec]:
        """Describe the processes to start."""
        return [
            engine.child(self._environment)
            for engine in (self._postgres, self._nats)
            if engine is not None
        ]

    def urls(self) -> dict[str, str]:
        """Tell where the servers are, and what the services need not do for ours."""
        urls = {}
        if self._postgres is not None:
            urls["DATABASE_URL"] = self._postgres.url
            urls["LANTHORN__LANTHORN__MAXIMUM_STANDBY_LAG"] = "0"  # it has no standby
        if self._nats is not None:
            urls["NATS_URL"] = self._nats.url
        return urls

    def clear(self) -> None:
        """Remove what has no use once the servers have ended."""
        if self._postgres is not None:
            self._postgres.remove_socket_folder()

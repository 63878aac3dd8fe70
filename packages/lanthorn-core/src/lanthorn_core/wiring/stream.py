"""The event stream, as services see it and as the indexer does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanthorn_core.commands import Command
from lanthorn_core.ports.bus import (
    EventBacklog,
    EventConsumer,
    EventPublisher,
    IndexSignals,
    Retries,
    StreamPosition,
)
from lanthorn_core.ports.commands import CommandHandler, GatewayCommands
from lanthorn_core.ports.commitment import CommitmentRelay
from lanthorn_core.ports.jobs import JobSignals
from lanthorn_core.ports.move_receipts import MoveReceipts
from lanthorn_core.ports.remote_aes import RegistrySignals
from lanthorn_core.runtime.settings import Settings

if TYPE_CHECKING:
    from nats.aio.client import Client


@dataclass(frozen=True)
class ServiceBus:
    """The stream as services see it that publish events and wait at the index barrier."""

    publisher: EventPublisher
    signals: IndexSignals
    retries: Retries
    backlog: EventBacklog
    job_signals: JobSignals
    registry_signals: RegistrySignals
    commands: GatewayCommands
    move_receipts: MoveReceipts
    commitment_relay: CommitmentRelay
    client: Client

    def serving_commands(
        self, handlers: Mapping[type[Command], CommandHandler]
    ) -> AbstractAsyncContextManager[None]:
        """Serve commands for the length of the block: the gateway's end of `commands`."""
        from lanthorn_core.adapters.bus_nats.command_server import serve_commands

        return serve_commands(self.client, handlers)


@dataclass(frozen=True)
class IndexerBus(ServiceBus):
    """The stream as the indexer sees it."""

    stream_replicas: int

    def open_consumer(self, applied: StreamPosition) -> AbstractAsyncContextManager[EventConsumer]:
        """Take the stream over after what is applied; only the holder of the index lock may."""
        from lanthorn_core.adapters.bus_nats.consumer import open_consumer

        return open_consumer(self.client, applied, replicas=self.stream_replicas)


@asynccontextmanager
async def open_indexer_bus(settings: Settings) -> AsyncIterator[IndexerBus]:
    """Connect to the stream, made where it is missing, with all that the indexer needs."""
    from lanthorn_core.adapters.bus_nats.backlog import NatsBacklog
    from lanthorn_core.adapters.bus_nats.command_client import NatsGatewayCommands
    from lanthorn_core.adapters.bus_nats.commitment_relay import NatsCommitmentRelay
    from lanthorn_core.adapters.bus_nats.connection import connect, ensure_streams
    from lanthorn_core.adapters.bus_nats.job_signals import NatsJobSignals
    from lanthorn_core.adapters.bus_nats.move_receipts import NatsMoveReceipts
    from lanthorn_core.adapters.bus_nats.publisher import NatsPublisher
    from lanthorn_core.adapters.bus_nats.registry_signals import NatsRegistrySignals
    from lanthorn_core.adapters.bus_nats.retries import NatsRetries
    from lanthorn_core.adapters.bus_nats.signals import NatsIndexSignals

    runtime = settings.runtime
    async with connect(
        runtime.nats_url,
        name="lanthorn",
        account=runtime.nats_account,
        ca_file=runtime.nats_ca_file,
    ) as client:
        await ensure_streams(client, replicas=runtime.nats_stream_replicas)
        yield IndexerBus(
            publisher=NatsPublisher(client),
            signals=NatsIndexSignals(client),
            retries=NatsRetries(client),
            backlog=NatsBacklog(client),
            job_signals=NatsJobSignals(client),
            registry_signals=NatsRegistrySignals(client),
            commands=NatsGatewayCommands(client),
            move_receipts=NatsMoveReceipts(client),
            commitment_relay=NatsCommitmentRelay(client),
            client=client,
            stream_replicas=runtime.nats_stream_replicas,
        )


@asynccontextmanager
async def open_bus(settings: Settings) -> AsyncIterator[ServiceBus]:
    """Connect to the stream, made where it is missing."""
    async with open_indexer_bus(settings) as bus:
        yield bus

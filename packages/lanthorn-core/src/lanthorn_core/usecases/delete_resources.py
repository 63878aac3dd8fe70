"""Delete resources: a command on the stream, ordered with the stores, answered once applied."""

from __future__ import annotations

from collections.abc import Sequence

from lanthorn_core.errors import DeadlineExceeded
from lanthorn_core.events import DeleteResources as Command
from lanthorn_core.model import Level
from lanthorn_core.ports.bus import EventPublisher
from lanthorn_core.ports.index import IndexReader
from lanthorn_core.usecases.receipts import new_receipt_id


class DeleteResources:
    """Remove resources with all below them; their objects are garbage-collected afterwards."""

    def __init__(self, publisher: EventPublisher, reader: IndexReader) -> None:
        self._publisher = publisher
        self._reader = reader

    async def __call__(self, resources: Sequence[tuple[Level, str]]) -> None:
        """Delete resources by level and public id; ids that do not exist are passed over.

        Raises
        ------
        BusUnavailable
            The command was not acknowledged; it may still be carried out.
        DeadlineExceeded
            The command is in the stream, the indexer has not yet carried it out.
        """
        await self._publisher.publish(
            Command(resources=list(resources)), message_id=f"delete/{new_receipt_id()}"
        )
        if not await self._reader.wait_until_current():
            raise DeadlineExceeded("The deletion is accepted, but the indexer has not done it yet")

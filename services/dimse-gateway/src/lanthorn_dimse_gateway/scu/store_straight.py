"""One object to a remote AE without storing it: the command behind `store-straight`."""

from __future__ import annotations

from dataclasses import dataclass

from lanthorn_core.commands import GatewayCommand, StoreStraight
from lanthorn_core.ports.commands import Answer
from lanthorn_core.ports.index import StoredInstance
from lanthorn_dimse_gateway.scu.store import StoreScu


@dataclass(frozen=True, slots=True)
class StoreStraightHandler:
    """Serves `StoreStraight` commands.

    Attributes
    ----------
    store : StoreScu
        Sends the object.
    """

    store: StoreScu

    async def __call__(self, command: GatewayCommand, answer: Answer) -> None:
        """Send the object; `answer` is not needed.

        Raises
        ------
        RemoteAEFailed
            The remote AE was not reached, or did not store it.
        LanthornError
            The object cannot be read.
        """
        if not isinstance(command, StoreStraight):
            raise TypeError(f"no StoreStraight: {type(command).__name__}")
        instance = StoredInstance(
            public_id="",
            object_key=command.object_key,
            size_bytes=command.size_bytes,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=command.transfer_syntax_uid,
            pixel_data_offset=None,
            number_of_frames=1,
        )
        outgoing = await self.store.outgoing.read(instance)
        async with self.store.session(command.remote, [instance]) as session:
            outcome = await session.send(outgoing, instance)
        failure = outcome.failure(command.remote.ae_title)
        if failure is not None:
            raise failure

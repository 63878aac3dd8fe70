"""Instances that come because a C-MOVE of ours, or of another, asked for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lanthorn_core.ports.move_receipts import MoveOrigin, MoveReceipts
from lanthorn_core.usecases.store_instance import StoreReceipt
from lanthorn_dimse import Request


def announce_moved(receipts: MoveReceipts) -> Callable[[Request, StoreReceipt], Awaitable[None]]:
    """Make what tells of each stored instance that names the C-MOVE it belongs to.

    Parameters
    ----------
    receipts : MoveReceipts
        Where who asked for it hears of it.
    """

    async def stored(request: Request, receipt: StoreReceipt) -> None:
        command = request.command
        if command.move_originator_ae_title and command.move_originator_message_id is not None:
            origin = MoveOrigin(
                command.move_originator_ae_title.strip(), command.move_originator_message_id
            )
            await receipts.announce(origin, receipt.public_ids.instance)

    return stored

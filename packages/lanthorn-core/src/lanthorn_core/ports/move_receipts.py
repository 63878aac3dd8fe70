"""Hearing of instances that arrive because we asked for them by C-MOVE.

Whoever runs the C-MOVE is another association, and mostly another process, than the one that
receives its C-STORE sub-operations. These name their originator (PS3.7 Section 9.3.1.1).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MoveOrigin:
    """What a C-STORE request says of its C-MOVE: the AE title of the SCU, and the Message ID."""

    ae_title: str
    message_id: int


class ArrivedInstances(Protocol):
    """Orthanc identifiers of the instances that one C-MOVE brought."""

    async def wait_for(self, count: int) -> list[str]:
        """Give what came so far, each once; wait a moment if it is less than `count`."""
        ...


class MoveReceipts(Protocol):
    """Tells who asked for instances that they came. What is lost is missing in a job's details."""

    async def announce(self, origin: MoveOrigin, instance: str) -> None:
        """Say that an instance of this C-MOVE is stored."""
        ...

    def arriving(
        self, message_id: int, ae_titles: Collection[str]
    ) -> AbstractAsyncContextManager[ArrivedInstances]:
        """Collect what is announced of a C-MOVE for the length of the block.

        Parameters
        ----------
        message_id : int
            Message ID (0000,0110) of the C-MOVE request.
        ae_titles : collection of str
            Whom the remote AE may name as the originator: us, and some name themselves.
        """
        ...

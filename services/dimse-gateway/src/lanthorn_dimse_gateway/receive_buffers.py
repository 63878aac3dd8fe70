"""Memory for what arrives: page-aligned buffers, reused, as many as the process may hold.

Who receives asks for a buffer before the first byte is taken from the peer. Where none is free
the peer is not read, so that a slow store slows senders and memory never grows.
"""

from __future__ import annotations

import asyncio
import mmap
from typing import Final

from lanthorn_core.usecases.byte_budget import ByteBudget

BUFFER_BYTES: Final = 1 << 20
"""What one association may hold of an object: a CT slice stays in memory, a mammogram does not."""

_KEPT: Final = 16
"""Free buffers that stay mapped; what a night's peak needed goes back to the system."""


class ReceiveBuffers:
    """The buffers of one process.

    Parameters
    ----------
    budget : ByteBudget
        Counts each buffer that is lent with all its bytes.
    """

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._free: list[mmap.mmap] = []

    def claim(self) -> asyncio.Future[None]:
        """Ask for the right to a buffer: the future is done when `lend` may be called.

        Cancelling it gives up; a right that was granted and not used is returned by `waive`.
        """
        return self._budget.claim(BUFFER_BYTES)

    def waive(self) -> None:
        """Return a granted right that was not used."""
        self._budget.give_back(BUFFER_BYTES)

    def lend(self) -> mmap.mmap:
        """Lend a buffer of `BUFFER_BYTES` for a right that was granted; its content is anything."""
        return self._free.pop() if self._free else mmap.mmap(-1, BUFFER_BYTES)

    def take_back(self, buffer: mmap.mmap) -> None:
        """Take a lent buffer back, with the right to it."""
        if len(self._free) < _KEPT:
            self._free.append(buffer)
        self._budget.give_back(BUFFER_BYTES)

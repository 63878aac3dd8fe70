"""Storage commitment: the reports that we asked remote AEs for, and the way of ours to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from lanthorn_core.dicom.commitment import CommitmentFailure, CommitmentRequest, SopReference


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a remote AE said of a transaction.

    `committed` and `failures` are empty while it `is_pending`: the remote AE has not reported yet.
    """

    transaction_uid: str
    remote_ae_title: str
    is_pending: bool
    committed: Sequence[SopReference] = field(default=())
    failures: Sequence[CommitmentFailure] = field(default=())


class CommitmentReports(Protocol):
    """The newest transactions, seen by every process. Raises `IndexUnavailable` throughout."""

    async def expect(self, request: CommitmentRequest, remote_ae_title: str) -> None:
        """Begin a transaction, or begin it again; beyond the limit the oldest is forgotten."""
        ...

    async def requested(self, transaction_uid: str) -> CommitmentRequest:
        """Tell what was asked in a transaction; raises `InexistentItem` when it is not known."""
        ...

    async def record(
        self,
        transaction_uid: str,
        remote_ae_title: str,
        committed: Sequence[SopReference],
        failures: Sequence[CommitmentFailure],
    ) -> bool:
        """Record what a remote AE reports; a later report of the same counts.

        False, with nothing recorded, when this remote AE was asked for no such transaction.
        """
        ...

    async def get(self, transaction_uid: str) -> CommitmentReport | None:
        """Find a transaction."""
        ...


class CommitmentRelay(Protocol):
    """From the gateway that has a report to the one that has the association for it."""

    async def pass_on(self, gateway_id: str, report: bytes) -> int | None:
        """Have another gateway send a report; returns the status that the peer answered.

        None: it was not sent, because that gateway is gone, or its association is.
        """
        ...

    def taking(
        self, gateway_id: str, send: Callable[[bytes], Awaitable[int | None]]
    ) -> AbstractAsyncContextManager[None]:
        """Send what other gateways pass on to this one, for the length of the block."""
        ...

"""Associations for one request, and requests that have several responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from lanthorn_core.model import RemoteAE
from lanthorn_dimse import Association, Command, DataSet, DimseError, Response
from lanthorn_dimse_gateway.scu.associations import AssociationPool, Proposal
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure

log = structlog.get_logger(__name__)

_PENDING: Final = frozenset({0xFF00, 0xFF01})
"""PS3.4 Sections C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4."""
_READ_AHEAD: Final = 16
"""Responses that wait for whoever takes them; the peer is held back after that."""
FINAL_AFTER_CANCEL_S: Final = 3.0
"""For the final response to a request that was canceled; then the association is aborted."""

_RELEASE_S: Final = 5.0
"""For the answer to A-RELEASE-RQ."""


@asynccontextmanager
async def associated(
    pool: AssociationPool, remote: RemoteAE, contexts: Sequence[Proposal], doing: str
) -> AsyncIterator[Association]:
    """Associate with a remote AE for the length of the block.

    The association is released at the end and not kept for others: there are applications that
    serve one at a time.

    Parameters
    ----------
    contexts : sequence of (abstract syntax, transfer syntaxes)
        What to propose.
    doing : str
        For messages, such as ``C-FIND``.

    Raises
    ------
    RemoteAEFailed
        The remote AE is not reached, or does not keep to the protocol.
    """
    assoc = await pool.connect(remote, contexts)
    try:
        yield assoc
    except DimseError as error:
        raise remote_failure(error, remote.ae_title, doing) from error
    finally:
        await release(assoc)


async def release(assoc: Association) -> None:
    """Release an association that has done its duty, whatever the peer makes of it."""
    with suppress(DimseError):
        await assoc.release(_RELEASE_S)


async def each_response(
    assoc: Association,
    context_id: int,
    command: Command,
    data_set: DataSet,
    take: Callable[[Response], Awaitable[None]],
    *,
    timeout_s: float | None,
) -> Command:
    """Send a request with several responses, and hand over the pending ones as they come.

    What `take` raises, or the cancellation of the caller, cancels the request: C-CANCEL is sent
    and the final response awaited for some seconds (PS3.7 Section 9.3.2.3).

    Parameters
    ----------
    take : callable
        Gets every response with a pending status.
    timeout_s : float or None
        Until the next response.

    Returns
    -------
    Command
        Of the final response.

    Raises
    ------
    DimseError
        The association failed.
    """
    incoming: asyncio.Queue[Response | DimseError] = asyncio.Queue(_READ_AHEAD)
    is_canceled = False

    async def read() -> None:
        try:
            async for response in assoc.requests(
                context_id, command, data_set, timeout_s=timeout_s
            ):
                if not is_canceled:
                    await incoming.put(response)
        except DimseError as error:
            if not is_canceled:
                await incoming.put(error)

    async def cancel(reading: asyncio.Task[None]) -> None:
        nonlocal is_canceled
        is_canceled = True
        while not incoming.empty():
            incoming.get_nowait()
        if reading.done() or not assoc.is_established:
            return
        with suppress(DimseError):
            await assoc.cancel(context_id, command.message_id)
        await asyncio.wait([reading], timeout=FINAL_AFTER_CANCEL_S)
        if not reading.done():
            log.warning("canceled_request_aborted", association_id=assoc.id)
            assoc.abort()

    failure: Exception | None = None
    final: Command | None = None
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(), name="read-responses")
        try:
            while final is None:
                response = await incoming.get()
                if isinstance(response, DimseError):
                    raise response
                if response.command.status in _PENDING:
                    await take(response)
                else:
                    final = response.command
        except Exception as error:
            # The group would wrap it.
            failure = error
            await cancel(reading)
        except asyncio.CancelledError:
            await cancel(reading)
            raise
    if failure is not None:
        raise failure
    assert final is not None  # noqa: S101  # the loop ends with it or by an exception
    return final

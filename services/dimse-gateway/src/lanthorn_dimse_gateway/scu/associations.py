"""Outgoing associations: opened when they are needed, kept for a while, used again.

Each user has an association for itself: while one is sending, another opens its own. What is
given back waits `DicomAssociationCloseDelay` seconds for the next user, and is released then.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from lanthorn_core.errors import RemoteAEFailed
from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import (
    AssociateRequest,
    Association,
    DimseError,
    Ended,
    RequestHandler,
    Roles,
    Timers,
    associate,
    propose,
)
from lanthorn_dimse_gateway.metrics import (
    ACCEPTED_ASSOCIATIONS,
    ENDED_BY,
    OPEN_ASSOCIATIONS,
    REJECTED_ASSOCIATIONS,
    reason_of,
)
from lanthorn_dimse_gateway.scu.remote_errors import CONNECTING, remote_failure
from lanthorn_dimse_gateway.tls import requestor_context

log = structlog.get_logger(__name__)

Proposal = tuple[str, tuple[str, ...]]
"""An abstract syntax and the transfer syntaxes of one presentation context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScuOptions:
    """What holds for all associations that this process opens.

    Attributes
    ----------
    ae_title : str
        Our own (`DicomAet`), where a remote AE has no other for us.
    timeout_s : int
        `DicomScuTimeout`, where a remote AE has no other; 0 is no limit.
    close_delay_s : int
        `DicomAssociationCloseDelay`; 0 keeps none.
    maximum_pdu_length : int
        The longest PDU that we take (`MaximumPduLength`), in bytes.
    tls : ssl.SSLContext or None
        For remote AEs with `UseDicomTls`.
    """

    ae_title: str
    timeout_s: int = 10
    close_delay_s: int = 5
    maximum_pdu_length: int = 131072
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, settings: Settings) -> ScuOptions:
        """Make them from Orthanc's options."""
        return cls(
            ae_title=settings.dicom_aet,
            timeout_s=settings.dicom_scu_timeout,
            close_delay_s=settings.dicom_association_close_delay,
            maximum_pdu_length=settings.maximum_pdu_length,
            tls=requestor_context(settings),
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """Between whom an association is."""

    local_ae_title: str
    remote_ae_title: str
    host: str
    port: int
    uses_tls: bool


@dataclass(eq=False, slots=True)
class PooledAssociation:
    """An association in somebody's hands.

    `is_reused` says that it waited since an earlier use: the peer may have ended it unnoticed.
    """

    assoc: Association
    is_reused: bool
    _line: _Line = field(repr=False)
    _proposed: frozenset[Proposal] = field(repr=False)


@dataclass(eq=False, slots=True)
class _Idle:
    held: PooledAssociation
    expires_at: float


class AssociationPool:
    """Opens associations and keeps those that are idle; made by `open_association_pool`."""

    def __init__(self, options: ScuOptions) -> None:
        self._options = options
        self._idle: list[_Idle] = []
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def idle_count(self) -> int:
        """How many associations wait for their next user."""
        return sum(idle.held.assoc.is_established for idle in self._idle)

    def timeout_s(self, remote: RemoteAE) -> float | None:
        """Tell how long a remote AE may take to connect and to answer; None is no limit."""
        return float(remote.timeout_s or self._options.timeout_s) or None

    def local_ae_title(self, remote: RemoteAE) -> str:
        """Tell by which AE title a remote AE knows us."""
        return remote.local_ae_title or self._options.ae_title

    @asynccontextmanager
    async def association(
        self, remote: RemoteAE, contexts: Sequence[Proposal]
    ) -> AsyncIterator[PooledAssociation]:
        """Have an association for the length of the block.

        Parameters
        ----------
        remote : RemoteAE
            Whom to associate with.
        contexts : sequence of (abstract syntax, transfer syntaxes)
            What to propose, at most 128. An idle association will do on which all of this was
            proposed, accepted or not.

        Raises
        ------
        RemoteAEFailed
            There is none to be had.
        """
        held = await self.acquire(remote, contexts)
        try:
            yield held
        except BaseException:
            held.assoc.abort()
            raise
        finally:
            await self.give_back(held)

    async def acquire(
        self, remote: RemoteAE, contexts: Sequence[Proposal], *, fresh: bool = False
    ) -> PooledAssociation:
        """Take an association; `give_back` must follow. `fresh` leaves the idle ones alone."""
        line, proposed = self._line(remote), frozenset(contexts)
        if not fresh:
            held = self._take_idle(line, proposed)
            if held is not None:
                return held
        return PooledAssociation(
            await self.connect(remote, contexts), is_reused=False, _line=line, _proposed=proposed
        )

    async def give_back(self, held: PooledAssociation) -> None:
        """Keep an association for the next user, unless it is over or idle ones are not kept."""
        if not held.assoc.is_established:
            return
        if self._is_closed or not self._options.close_delay_s:
            await _release(held.assoc)
            return
        held.is_reused = True
        now = asyncio.get_running_loop().time()
        self._idle.append(_Idle(held, now + self._options.close_delay_s))
        self._changed.set()

    async def connect(
        self,
        remote: RemoteAE,
        contexts: Sequence[Proposal],
        *,
        roles: Mapping[str, Roles] | None = None,
        extended: Mapping[str, bytes] | None = None,
        handler: RequestHandler | None = None,
    ) -> Association:
        """Open an association that the pool has nothing to do with; the caller ends it.

        Parameters
        ----------
        roles, extended : mapping, optional
            Role selection and extended negotiation by SOP class.
        handler : RequestHandler, optional
            Serves what the peer asks on it, such as the sub-operations of a C-GET.

        Raises
        ------
        RemoteAEFailed
            The remote AE is not reached, or does not accept.
        """
        options, timeout_s = self._options, self.timeout_s(remote)
        if remote.use_dicom_tls and options.tls is None:
            raise RemoteAEFailed(
                f'DicomAssociation - {CONNECTING} to AET "{remote.ae_title}": '
                "DICOM TLS is not configured"
            )
        request = AssociateRequest(
            calling_ae_title=self.local_ae_title(remote),
            called_ae_title=remote.ae_title,
            contexts=propose(contexts),
            roles=roles or {},
            extended=extended or {},
            maximum_length=options.maximum_pdu_length,
        )
        try:
            assoc = await associate(
                remote.host,
                remote.port,
                request,
                handler=handler,
                ended=_count_end,
                tls=options.tls if remote.use_dicom_tls else None,
                timers=_timers(timeout_s),
            )
        except DimseError as error:
            REJECTED_ASSOCIATIONS.labels("out", reason_of(error)).inc()
            raise remote_failure(error, remote.ae_title, CONNECTING) from error
        ACCEPTED_ASSOCIATIONS.labels("out").inc()
        OPEN_ASSOCIATIONS.labels("out").inc()
        return assoc

    async def close(self) -> None:
        """Release what is idle; what is in use is released when it is given back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await _release_all(idle)

    async def close_expired(self) -> None:
        """Release idle associations when their time is over, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            expired = [idle for idle in self._idle if idle.expires_at <= now]
            self._idle = [idle for idle in self._idle if idle.expires_at > now]
            await _release_all(expired)
            next_at = min((idle.expires_at for idle in self._idle), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    await self._changed.wait()

    def _line(self, remote: RemoteAE) -> _Line:
        return _Line(
            self.local_ae_title(remote),
            remote.ae_title,
            remote.host,
            remote.port,
            remote.use_dicom_tls,
        )

    def _take_idle(self, line: _Line, proposed: frozenset[Proposal]) -> PooledAssociation | None:
        """Take the one used last: it is the least likely to have been ended by the peer."""
        self._idle = [idle for idle in self._idle if idle.held.assoc.is_established]
        for idle in reversed(self._idle):
            held = idle.held
            if held._line == line and held._proposed >= proposed:
                self._idle.remove(idle)
                return held
        return None


@asynccontextmanager
async def open_association_pool(options: ScuOptions) -> AsyncIterator[AssociationPool]:
    """Open associations for the length of the block; idle ones are released at its end."""
    pool = AssociationPool(options)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(pool.close_expired(), name="close-idle-associations")
        try:
            yield pool
        except Exception as error:
            # The group would wrap it.
            failure = error
        finally:
            closing.cancel()
            await pool.close()
    if failure is not None:
        raise failure


def _count_end(_: Association, how: Ended) -> None:
    OPEN_ASSOCIATIONS.labels("out").dec()
    ENDED_BY["out", how].inc()


def _timers(timeout_s: float | None) -> Timers:
    if timeout_s is None:
        return Timers(dimse_s=None, network_s=None)
    return Timers(
        artim_s=timeout_s,
        connect_s=timeout_s,
        associate_s=timeout_s,
        release_s=timeout_s,
        dimse_s=timeout_s,
        network_s=timeout_s,
    )


async def _release_all(idle: Sequence[_Idle]) -> None:
    await asyncio.gather(*(_release(each.held.assoc) for each in idle))


async def _release(assoc: Association) -> None:
    try:
        await assoc.release()
    except DimseError as error:
        log.info("idle_association_lost", association_id=assoc.id, error=str(error))

"""Storage Service Class SCU (PS3.4 Annex B): stored instances to remote AEs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from lanthorn_core.errors import LanthornError, RemoteAEFailed, UnsupportedTransferSyntax
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.index import StoredInstance
from lanthorn_dimse import DimseError, NoAcceptedContext, TimedOut
from lanthorn_dimse_gateway.scu.associations import AssociationPool, PooledAssociation, Proposal
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure
from lanthorn_dimse_gateway.scu.store_contexts import ContextChoice, encoded_as, propose_storage
from lanthorn_dimse_gateway.scu.store_operation import (
    C_STORE,
    MoveOriginator,
    StoreOutcome,
    StoreRules,
    store_over,
)
from lanthorn_dimse_gateway.scu.store_outgoing import OutgoingObject, OutgoingObjects

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreScu:
    """What all sending of this process shares."""

    pool: AssociationPool
    outgoing: OutgoingObjects
    rules: StoreRules = field(default_factory=StoreRules)

    @asynccontextmanager
    async def session(
        self,
        remote: RemoteAE,
        instances: Sequence[StoredInstance],
        *,
        originator: MoveOriginator | None = None,
        priority: int = 0,
    ) -> AsyncIterator[StoreSession]:
        """Send instances to one remote AE within the block.

        Parameters
        ----------
        instances : sequence of StoredInstance
            All that may be sent: they decide on what is proposed.
        originator : MoveOriginator, optional
            Whose sub-operations these are.
        """
        rules = self.rules.restricted(transcoding=remote.allow_transcoding)
        session = StoreSession(
            self.pool, remote, rules, instances=instances, originator=originator, priority=priority
        )
        try:
            yield session
        finally:
            await session.close()


class StoreSession:
    """Sends instances to one remote AE, over one association as long as that will do."""

    def __init__(
        self,
        pool: AssociationPool,
        remote: RemoteAE,
        rules: StoreRules,
        *,
        instances: Sequence[StoredInstance],
        originator: MoveOriginator | None,
        priority: int,
    ) -> None:
        self._pool = pool
        self._remote = remote
        self._rules = rules
        self._originator = originator
        self._priority = priority
        self._timeout_s = pool.timeout_s(remote)
        self._proposals = propose_storage(
            map(encoded_as, instances),
            preferred=rules.preferred_transfer_syntax,
            transcoding=rules.transcoding,
        )
        self._held: PooledAssociation | None = None
        self._choice = ContextChoice((), preferred="", transcoding=False)
        self._proposed: Sequence[Proposal] = ()
        self.is_unreachable = False
        """Whether the last association that was needed did not open, or its peer fell silent."""

    async def send(
        self,
        outgoing: OutgoingObject | LanthornError,
        instance: StoredInstance,  # the signature of OutgoingObjects.each
    ) -> StoreOutcome:
        """Send one instance; what goes wrong with it is in the outcome."""
        if isinstance(outgoing, LanthornError):
            return StoreOutcome(None, outgoing)
        try:
            return StoreOutcome(await self._send(outgoing))
        except LanthornError as error:
            log.warning(
                "c_store_not_sent",
                sop_instance_uid=outgoing.instance.sop_instance_uid,
                error=error.slug,
                cause=error.details,
            )
            return StoreOutcome(None, error)

    async def close(self) -> None:
        """Give the association back."""
        held, self._held = self._held, None
        if held is not None:
            await self._pool.give_back(held)

    async def _send(self, outgoing: OutgoingObject) -> int:
        held = await self._association(outgoing.instance)
        try:
            return await self._store(held, outgoing)
        except DimseError as error:
            if not held.is_reused:
                raise remote_failure(error, self._remote.ae_title, C_STORE) from error
        # The peer may have ended an idle association, which is seen when it is used.
        held = await self._associate(fresh=True)
        try:
            return await self._store(held, outgoing)
        except DimseError as error:
            raise remote_failure(error, self._remote.ae_title, C_STORE) from error

    async def _store(self, held: PooledAssociation, outgoing: OutgoingObject) -> int:
        try:
            status = await store_over(
                held.assoc,
                outgoing,
                self._choice,
                priority=self._priority,
                originator=self._originator,
                timeout_s=self._timeout_s,
            )
        except UnsupportedTransferSyntax as error:
            no_context = NoAcceptedContext(str(error))
            raise remote_failure(no_context, self._remote.ae_title, C_STORE) from error
        except TimedOut:
            self.is_unreachable = True  # else each instance would cost the time-out again
            raise
        held.is_reused = False
        return status

    async def _association(self, instance: StoredInstance) -> PooledAssociation:
        """Have an association on which there may be a context for the instance."""
        wanted = (instance.sop_class_uid, (instance.transfer_syntax_uid,))
        held = self._held
        if held is not None and held.assoc.is_established and wanted in self._proposed:
            return held
        proposed = next((each for each in self._proposals if wanted in each), None)
        if proposed is None:  # its UIDs are none
            raise remote_failure(NoAcceptedContext(), self._remote.ae_title, C_STORE)
        self._proposed = proposed
        return await self._associate(fresh=False)

    async def _associate(self, *, fresh: bool) -> PooledAssociation:
        await self.close()
        try:
            held = await self._pool.acquire(self._remote, self._proposed, fresh=fresh)
        except RemoteAEFailed:
            self.is_unreachable = True
            raise
        self.is_unreachable = False
        self._held = held
        self._choice = self._rules.choice(held.assoc)
        return held

"""pynetdicom's association, arranged for a server: one thread reads, answers and waits.

As it comes, pynetdicom polls each association a thousand times a second in two threads, reads PDUs
of any length into memory, and keeps data sets there. Here the reading thread sleeps in poll(),
refuses PDUs beyond a limit, hands fragments on as they come, and answers requests itself, so that
a peer is not read further than the request in hand. The other thread only watches for release,
abort and time-out.

References
----------
DICOM PS3.8 Section 9 (upper layer), PS3.7 Sections 6 and 9 (messages).
"""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import structlog
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import (
    A_ABORT,
    A_ASSOCIATE,
    A_P_ABORT,
    A_RELEASE,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from lanthorn_dimse_gateway.access import Rejection, Requestor
from lanthorn_dimse_gateway.bridge import LoopBridge
from lanthorn_dimse_gateway.contexts import AnsweredContext, ProposedContext
from lanthorn_dimse_gateway.gateway import Gateway, Roles
from lanthorn_dimse_gateway.messages import Messages
from lanthorn_dimse_gateway.metrics import ASSOCIATIONS, ENDED_ASSOCIATIONS, OPEN_ASSOCIATIONS

if TYPE_CHECKING:
    from lanthorn_dimse_gateway.server import AssociationRegistry

log = structlog.get_logger(__name__)

_A_ABORT: Final = bytes([7, 0, 0, 0, 0, 4, 0, 0, 0, 0])
"""A-ABORT of the service user (PS3.8 Table 9-26)."""

_WATCH_S: Final = 0.25


class ServedAssociation(Association):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """One association as acceptor.

    Parameters
    ----------
    ae : pynetdicom.AE
        Carries pynetdicom's timers and lock.
    gateway : Gateway
        What is served.
    bridge : LoopBridge
        The way to the event loop.
    registry : AssociationRegistry
        Knows the process's associations while they live.
    remote_ip : str
        Where the peer is.
    """

    def __init__(
        self,
        ae: Any,
        gateway: Gateway,
        bridge: LoopBridge,
        registry: AssociationRegistry,
        remote_ip: str,
    ) -> None:
        super().__init__(ae, "acceptor")
        self.remote_ip = remote_ip
        self.gateway = gateway
        self.bridge = bridge
        self.registry = registry
        self.association_id = uuid.uuid4().hex[:12]
        self.draining = False
        self.served_requestor: Requestor | None = None
        self.acse = _Negotiator(self)
        self.dimse = Messages(self)
        self.dul = _UpperLayer(self)
        # The timers belong to the upper layer: set them again, it is another one now.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    def run_reactor(self) -> None:
        """Live from A-ASSOCIATE-RQ to the end of the connection (a thread's body)."""
        structlog.contextvars.bind_contextvars(association_id=self.association_id)
        try:
            super().run_reactor()
        except Exception:
            log.exception("association_crashed")
        finally:
            if self.served_requestor is not None:
                OPEN_ASSOCIATIONS.dec()
                how = "released" if self.is_released else "aborted"
                ENDED_ASSOCIATIONS.labels(how).inc()
                log.info("association_ended", how=how)
            self.registry.remove(self)

    def cut_off(self) -> None:
        """End the connection whatever its threads are doing; from any thread."""
        connection = self.dul.socket.socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.send(_A_ABORT, socket.MSG_DONTWAIT)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _run_reactor(self) -> None:
        """Wait for the end; requests are answered by the upper layer's thread."""
        while not self._kill:
            primitive = self.dul.receive_pdu(wait=True, timeout=_WATCH_S)
            if isinstance(primitive, A_RELEASE):
                self.acse.send_release(is_response=True)
                self.is_released = True
                self.is_established = False
                self.kill()
            elif isinstance(primitive, A_ABORT | A_P_ABORT):
                self.is_aborted = True
                self.is_established = False
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.draining and not self.dimse.busy:
                self.abort()
            elif self.dul.idle_timer_expired() and not self.dimse.answering:
                log.warning("association_timed_out", timeout_s=self.network_timeout)
                self.abort()


class _Negotiator(ACSE):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """Lets the gateway decide on A-ASSOCIATE-RQs."""

    def negotiate_association(self) -> None:
        assoc: ServedAssociation = self.assoc
        request = self.requestor.primitive
        if not isinstance(request, A_ASSOCIATE):
            assoc.kill()
            return
        self.requestor.ae_title = request.calling_ae_title
        requestor = Requestor(
            calling_ae_title=request.calling_ae_title.strip(" "),
            called_ae_title=request.called_ae_title.strip(" "),
            remote_ip=assoc.remote_ip,
            application_context_name=str(request.application_context_name),
        )
        proposed = [
            ProposedContext(
                context.context_id,
                str(context.abstract_syntax),
                tuple(str(uid) for uid in context.transfer_syntax),
            )
            for context in request.presentation_context_definition_list
        ]
        roles = {
            str(uid): Roles(scu=bool(item.scu_role), scp=bool(item.scp_role))
            for uid, item in self.requestor.role_selection.items()
        }
        described = {
            "calling_ae_title": requestor.calling_ae_title,
            "called_ae_title": requestor.called_ae_title,
            "remote_ip": requestor.remote_ip,
        }
        decision = assoc.gateway.negotiate(
            requestor, proposed, roles, associations=assoc.registry.established
        )
        if isinstance(decision, Rejection):
            ASSOCIATIONS.labels("rejected").inc()
            log.warning("association_rejected", reason=decision.text, **described)
            self.send_reject(decision.result, decision.source, decision.reason)
            assoc.kill()
            return
        contexts = [_presentation_context(answer) for answer in decision.contexts]
        assoc._accepted_cx = {
            context.context_id: context for context in contexts if context.result == 0
        }
        assoc._rejected_cx = [context for context in contexts if context.result != 0]
        for uid, role in decision.roles.items():
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid = uid
            item.scu_role, item.scp_role = role.scu, role.scp
            self.acceptor.add_negotiation_item(item)
        # Known before the acceptance is on its way: the peer's first request may follow at once.
        assoc.dimse.open(requestor, decision.contexts)
        assoc.is_established = True
        assoc.served_requestor = requestor
        ASSOCIATIONS.labels("accepted").inc()
        OPEN_ASSOCIATIONS.inc()
        self.send_accept()
        log.info(
            "association_accepted",
            contexts=len(contexts),
            accepted_contexts=len(assoc._accepted_cx),
            **described,
        )


def _presentation_context(answer: AnsweredContext) -> Any:
    context = PresentationContext()
    context.context_id = answer.context_id
    context.abstract_syntax = answer.abstract_syntax
    context.transfer_syntax = [answer.transfer_syntax]
    context.result = int(answer.result)
    context._as_scp = True
    context._as_scu = False
    return context


class _UpperLayer(DULServiceProvider):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """pynetdicom's upper layer, without its habit of sleeping between looks."""

    def __init__(self, assoc: ServedAssociation) -> None:
        super().__init__(assoc)
        self._run_loop_delay = 0.0
        self.daemon = True

    def run_reactor(self) -> None:
        """Run the state machine until the connection is over (a thread's body)."""
        assoc: ServedAssociation = self.assoc
        structlog.contextvars.bind_contextvars(association_id=assoc.association_id)
        try:
            super().run_reactor()
        except Exception as error:
            # pynetdicom raises what its state table does not foresee, in mid-transition.
            log.warning("upper_layer_failed", error=type(error).__name__)
            with contextlib.suppress(Exception):
                self.socket.close()
        finally:
            assoc.dimse.close()
            self.to_user_queue.put(None)

    def stop_dul(self) -> bool:
        """Tell whether the thread is over, or will be at once."""
        if self.state_machine.current_state != "Sta1":
            return False
        self._kill_thread = True
        deadline = time.monotonic() + 1
        while self.is_alive() and time.monotonic() < deadline:
            self.join(0.01)
        return not self.is_alive()

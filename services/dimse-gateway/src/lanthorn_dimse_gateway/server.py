"""pynetdicom's server on a listening socket that may be shared by several processes."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import threading
import time
from typing import Any, Final

import structlog
from pynetdicom import AE, _config
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from lanthorn_core.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from lanthorn_dimse_gateway.associations import ServedAssociation
from lanthorn_dimse_gateway.bridge import LoopBridge
from lanthorn_dimse_gateway.gateway import Gateway
from lanthorn_dimse_gateway.metrics import ASSOCIATIONS
from lanthorn_dimse_gateway.sockets import ServedSocket, tune

log = structlog.get_logger(__name__)

_BACKLOG: Final = 512
_POLL_S: Final = 0.1
"""How soon the accept loop sees that it shall end."""
_ARTIM_S: Final = 30.0
"""From connection to A-ASSOCIATE-RQ, at most (PS3.8 Section 9.1.5)."""
_WITHOUT_ASSOCIATION: Final = 50
"""Connections beyond the limit of associations that may wait for their answer."""
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; an empty host means every address, IPv6 included where there is any."""
    if host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


def inherit(descriptor: int) -> socket.socket:
    """Adopt a listening socket that the parent process opened (`LANTHORN_DICOM_FD`)."""
    return socket.socket(fileno=descriptor)


class AssociationRegistry:
    """The associations of this process, from accept() to the end of their threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._members: set[ServedAssociation] = set()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def established(self) -> int:
        """How many are past negotiation."""
        return sum(association.is_established for association in self.members())

    def members(self) -> list[ServedAssociation]:
        """Return those that are there now."""
        with self._changed:
            return list(self._members)

    def add(self, association: ServedAssociation) -> None:
        """Enter an association."""
        with self._changed:
            self._members.add(association)

    def remove(self, association: ServedAssociation) -> None:
        """Strike an association."""
        with self._changed:
            self._members.discard(association)
            self._changed.notify_all()

    def wait_until_empty(self, timeout_s: float) -> None:
        """Return when the last association is over, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._members, timeout_s)


class DicomServer:
    """Accepts associations until it is stopped.

    Parameters
    ----------
    gateway : Gateway
        What is served.
    listening : socket
        A listening socket; other processes may accept from it as well.
    bridge : LoopBridge
        The way to the event loop.
    """

    def __init__(self, gateway: Gateway, listening: socket.socket, bridge: LoopBridge) -> None:
        # pynetdicom's own logging formats every PDU and data set, patients included.
        _config.LOG_HANDLER_LEVEL = "none"
        self._registry = AssociationRegistry()
        self._acceptor = _Acceptor(gateway, listening, bridge, self._registry)
        self._thread = threading.Thread(
            target=self._acceptor.serve_forever, args=(_POLL_S,), name="dicom-acceptor", daemon=True
        )

    @property
    def associations(self) -> int:
        """How many connections there are."""
        return len(self._registry)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    async def stop(self, deadline_s: float) -> None:
        """Stop accepting, let every association finish its request, then abort it.

        Whoever is not done after `deadline_s` is cut off; its instance was never acknowledged.
        """
        deadline = time.monotonic() + deadline_s
        await asyncio.to_thread(self._acceptor.stop)
        for association in self._registry.members():
            association.draining = True
        await asyncio.to_thread(
            self._registry.wait_until_empty, max(0.0, deadline - time.monotonic())
        )
        for association in self._registry.members():
            log.warning("association_cut_off", association_id=association.association_id)
            association.cut_off()


class _Acceptor(AssociationServer):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """The accept loop.

    The socket is non-blocking: where several processes share it, each is told of a connection and
    only one gets it; the others find nothing and go on.
    """

    def __init__(
        self,
        gateway: Gateway,
        listening: socket.socket,
        bridge: LoopBridge,
        registry: AssociationRegistry,
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self.gateway = gateway
        self.bridge = bridge
        self.registry = registry
        super().__init__(
            _application_entity(gateway),
            listening.getsockname(),
            gateway.access.ae_title,
            contexts=[],
            request_handler=_ConnectionHandler,
        )

    def server_bind(self) -> None:
        """Take the socket that is bound already instead of the one socketserver made."""
        self.socket.close()
        self.socket: socket.socket = self._listening
        self.server_address = self._listening.getsockname()

    def server_activate(self) -> None:
        """Nothing to do: the socket listens."""

    def server_close(self) -> None:
        """Close our descriptor only; shutdown() would end the other processes' accepting too."""
        self.socket.close()

    def stop(self) -> None:
        """Leave the accept loop and close the socket."""
        super(AssociationServer, self).shutdown()
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; losing the race against another process is an OSError that the loop ignores."""
        try:
            return self.socket.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                log.warning("connection_delayed", reason="no file descriptor left")
                time.sleep(0.1)  # the connection stays in the backlog, and poll() says so at once
            raise

    def service_actions(self) -> None:
        """Nothing: pynetdicom would stop the process for a full collection once a minute."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn away who comes when the threads for rejections are used up as well."""
        limit = self.gateway.limits.associations + _WITHOUT_ASSOCIATION
        if len(self.registry) < limit:
            return True
        ASSOCIATIONS.labels("refused").inc()
        log.warning("connection_refused", connections=len(self.registry))
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log instead of printing; called while the exception is being handled."""
        log.error("connection_failed", exc_info=sys.exception())


class _ConnectionHandler(RequestHandler):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """Turns a connection into an association."""

    def handle(self) -> None:
        acceptor: _Acceptor = self.server
        timeout_s = acceptor.gateway.limits.timeout_s
        tune(self.request, timeout_s)
        association = ServedAssociation(
            self.ae,
            acceptor.gateway,
            acceptor.bridge,
            acceptor.registry,
            # A dual-stack socket shows IPv4 peers as IPv6 ones.
            remote_ip=str(self.client_address[0]).removeprefix("::ffff:"),
        )
        association._server = acceptor
        association.name = f"association-{association.association_id}"
        association.set_socket(ServedSocket(association, self.request, timeout_s))
        association.acceptor.maximum_length = self.ae.maximum_pdu_size
        association.acceptor.ae_title = acceptor.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.requestor.address_info = AddressInformation.from_tuple(self.client_address)
        acceptor.registry.add(association)
        try:
            association.start()
        except RuntimeError:  # no thread left
            acceptor.registry.remove(association)
            raise


def _application_entity(gateway: Gateway) -> Any:
    entity = AE(gateway.access.ae_title)
    timeout_s = gateway.limits.timeout_s
    entity.maximum_pdu_size = gateway.limits.maximum_pdu_length
    entity.network_timeout = timeout_s
    entity.dimse_timeout = timeout_s
    entity.acse_timeout = _ARTIM_S if timeout_s is None else min(timeout_s, _ARTIM_S)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return entity

"""The sockets of associations: bounded reads, no delays, acknowledgements at once."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import Any, Final

from pynetdicom.transport import AssociationSocket

PDU_BYTES: Final = 1 << 20
"""The longest PDU that is read. An A-ASSOCIATE-RQ of 128 presentation contexts with every transfer
syntax stays below; P-DATA-TF is bounded by what was offered, with room for peers that count its
header differently."""

_READ_AHEAD_BYTES: Final = 1 << 16
_IDLE_WAIT_MS: Final = 250
_ANSWER_WAIT_MS: Final = 1

_AWAITING_OUR_ANSWER: Final = frozenset({"Sta3", "Sta8"})
"""PS3.8 Table 9-5: the other thread is about to send an A-ASSOCIATE or A-RELEASE response."""


def tune(connection: socket.socket, timeout_s: float | None) -> None:
    """Prepare an accepted connection: no Nagle, time-outs in the kernel.

    Parameters
    ----------
    connection : socket
        As it came from accept().
    timeout_s : float or None
        For each read and write, None for no limit.
    """
    connection.setblocking(True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if timeout_s is not None:
        interval = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


class ServedSocket(AssociationSocket):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """One association's connection.

    `TCP_QUICKACK` is no lasting option: it is armed again after every read, since a sender with
    Nagle's algorithm waits for our acknowledgement between the header and the body of a PDV.
    """

    def __init__(self, assoc: Any, connection: socket.socket, timeout_s: float | None) -> None:
        super().__init__(assoc, client_socket=connection)
        self._timeout_s = timeout_s
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._ahead = bytearray()

    @property
    def ready(self) -> bool:
        """Wait a little for something to read; True when there is."""
        if self.socket is None or not self._is_connected:
            return False
        if self._ahead:
            return True
        if not self.event_queue.empty():
            wait_ms = 0  # the state machine has something to do first
        elif self.assoc.dul.state_machine.current_state in _AWAITING_OUR_ANSWER:
            wait_ms = _ANSWER_WAIT_MS
        else:
            wait_ms = _IDLE_WAIT_MS
        return bool(self._poll.poll(wait_ms))

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes; fewer at the end of the connection.

        Raises
        ------
        OSError
            The connection broke, or the peer was too slow.
        """
        if nr_bytes > PDU_BYTES:
            # Invalid PDU: the state machine sends A-ABORT before it sees the short read's Evt17.
            self.event_queue.put("Evt19")
            return bytearray()
        connection = self.socket
        received, self._ahead = self._ahead, bytearray()
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while len(received) < nr_bytes:
            piece = connection.recv(max(nr_bytes - len(received), _READ_AHEAD_BYTES))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not piece:
                return received
            received += piece
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError("the peer sends too slowly")
        self._ahead = received[nr_bytes:]
        del received[nr_bytes:]
        return received

    def _shutdown_socket(self) -> None:
        # pynetdicom leaves the descriptor open when the peer was the first to go.
        connection = self.socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

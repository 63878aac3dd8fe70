"""Ports: opened for good, found free, or refused with the option that changes them."""

from __future__ import annotations

import errno
import os
import socket
import weakref

from lanthorn_embedded.errors import PortInUse

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024


def open_listener(port: int, *, host: str, purpose: str, option: str) -> socket.socket:
    """Open a listening socket that children may inherit.

    Parameters
    ----------
    port : int
        TCP port; 0 lets the system choose.
    host : str
        IPv4 address to bind; empty for every address, IPv6 included where there is any.
    purpose, option : str
        For the message: what the port is for, and what changes it.

    Raises
    ------
    PortInUse
        The port is taken, or needs rights that we do not have.
    """
    try:
        listener = _listen_everywhere(port) if not host else _listen((host, port))
    except OSError as exc:
        raise _explain(exc, port, purpose, option) from exc
    listener.setblocking(False)
    return listener


def require_free(port: int, *, host: str, purpose: str, option: str) -> None:
    """See that a child will be able to listen on a port; raises `PortInUse`."""
    open_listener(port, host=host, purpose=purpose, option=option).close()


def _listen(address: tuple[str, int]) -> socket.socket:
    return socket.create_server(address, backlog=_BACKLOG)


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
        except OSError as exc:
            if exc.errno != errno.EADDRNOTAVAIL:  # IPv6 is compiled in and switched off
                raise
    return _listen(("", port))


class ReservedPort:
    """A free port of the loopback that nobody takes while this object lives, but our own child.

    The port is bound without listening. Linux lets a second socket bind it and listen if both
    allow the reuse of addresses, as servers do, and gives it to nobody who just wants a free one.

    Attributes
    ----------
    number : int
        The TCP port.
    """

    def __init__(self) -> None:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        holder.bind((LOOPBACK, 0))
        # Only now: with it, the system might have chosen a port that another one holds like this.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = holder.getsockname()[1]
        weakref.finalize(self, os.close, holder.detach())


def _explain(exc: OSError, port: int, purpose: str, option: str) -> PortInUse:
    if exc.errno == errno.EADDRINUSE:
        return PortInUse(f"{purpose} port {port} is in use: choose another with {option}")
    if exc.errno == errno.EACCES:
        return PortInUse(
            f"{purpose} port {port} needs the rights of root: choose one above 1023 with {option}"
        )
    return PortInUse(f"cannot listen on port {port} for {purpose}: {exc.strerror}")

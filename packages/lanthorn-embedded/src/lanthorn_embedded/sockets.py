"""Ports: opened for good, found free, or refused with the option that changes them."""

from __future__ import annotations

import errno
import random
import socket

from lanthorn_embedded.errors import PortInUse

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
# Below Linux' range of ports for outgoing connections, which come and go at any moment.
_FIRST_PRIVATE_PORT, _LAST_PRIVATE_PORT = 20000, 32000
_TRIES = 200


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


def private_port() -> int:
    """Find a free port on the loopback for talk among our own processes.

    Raises
    ------
    PortInUse
        None of many ports tried is free.
    """
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randint(_FIRST_PRIVATE_PORT, _LAST_PRIVATE_PORT)
        if is_free(port):
            return port
    raise PortInUse(f"no free port found between {_FIRST_PRIVATE_PORT} and {_LAST_PRIVATE_PORT}")


def is_free(port: int) -> bool:
    """Tell whether one may listen on this port of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _explain(exc: OSError, port: int, purpose: str, option: str) -> PortInUse:
    if exc.errno == errno.EADDRINUSE:
        return PortInUse(f"{purpose} port {port} is in use: choose another with {option}")
    if exc.errno == errno.EACCES:
        return PortInUse(
            f"{purpose} port {port} needs the rights of root: choose one above 1023 with {option}"
        )
    return PortInUse(f"cannot listen on port {port} for {purpose}: {exc.strerror}")

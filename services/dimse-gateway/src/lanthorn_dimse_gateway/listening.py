"""The socket that associations come in at; several processes may share one."""

from __future__ import annotations

import socket
from typing import Final

_BACKLOG: Final = 512


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

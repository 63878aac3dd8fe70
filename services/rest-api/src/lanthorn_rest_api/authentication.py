"""Who may ask: Orthanc's Basic authentication and `RemoteAccessAllowed` (reference 1.9.9)."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

USERNAME: Final = "lanthorn.username"
"""Key of the ASGI scope that holds the name of the user, ``""`` without authentication."""

CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="Orthanc Secure Area"'}


class AccessRules:
    """Decide about requests.

    Parameters
    ----------
    users : mapping or None
        Passwords by user name; None when authentication is off.
    remote_access_allowed : bool
        Whether anyone but this machine may ask.
    """

    def __init__(self, users: Mapping[str, str] | None, *, remote_access_allowed: bool) -> None:
        self._credentials = (
            None
            if users is None
            else {user: f"{user}:{password}".encode() for user, password in users.items()}
        )
        self._remote_access_allowed = remote_access_allowed

    def user_of(self, scope: Scope) -> str | None:
        """Name the user of a request (``""`` without authentication); None when refused."""
        if not self._remote_access_allowed and not _is_loopback(scope):
            return None
        if self._credentials is None:
            return ""
        given = _basic_credentials(Headers(scope=scope).get("Authorization", ""))
        # All are compared, and each in constant time: the answer's time tells nobody anything.
        matching = [
            user
            for user, credentials in self._credentials.items()
            if hmac.compare_digest(credentials, given)
        ]
        return matching[0] if matching else None


def username_of(connection: HTTPConnection) -> str:
    """Return the name of the authenticated user, ``""`` without authentication."""
    name: str = connection.scope.get(USERNAME, "")
    return name


def _basic_credentials(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None:  # a Unix socket
        return True
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

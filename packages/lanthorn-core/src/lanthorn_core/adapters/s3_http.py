"""HTTP to an S3 server: kept connections, whom they trust, and how long they are patient."""

from __future__ import annotations

import random
import ssl
from pathlib import Path
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from lanthorn_core.errors import StorageRefused

CONNECT_TIMEOUT_S: Final = 3.0
SILENCE_TIMEOUT_S: Final = 20.0
"""Before an answer, between two bytes of it, and for each slice that is sent."""

_SLICE_BYTES: Final = 1 << 18
_PAUSE_S: Final = 0.2
_RANDOM: Final = random.SystemRandom()


class _Retries(urllib3.Retry):
    """Pauses that double, each of a random share: many clients do not come back at once."""

    def get_backoff_time(self) -> float:
        """Tell how long to wait before the next attempt, in seconds."""
        return _RANDOM.uniform(0, _PAUSE_S * 2 ** len(self.history))


_RETRIES: Final = _Retries(
    total=3,
    # What was silent for so long hardly answers the third time; the sender waits meanwhile.
    read=1,
    # Objects are only ever sent to the server that was named.
    redirect=False,
    # POST as well, which only begins and ends uploads in parts.
    allowed_methods=None,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,
)


class _SlowlySending:
    """A connection that may take its time to send, as long as it gets on.

    Else the time-out for connecting would hold for a first request as a whole, however many
    megabytes it has.
    """

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.settimeout(SILENCE_TIMEOUT_S)

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes) or len(data) <= _SLICE_BYTES:
            super().send(data)  # type: ignore[misc]
            return
        with memoryview(data) as view:
            for start in range(0, len(data), _SLICE_BYTES):
                super().send(view[start : start + _SLICE_BYTES])  # type: ignore[misc]


class _Connection(_SlowlySending, HTTPConnection):
    pass


class _TlsConnection(_SlowlySending, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def open_http(*, connections: int, ca_file: Path | None) -> urllib3.PoolManager:
    """Make a client that keeps connections; `clear` drops them.

    Parameters
    ----------
    connections : int
        How many are kept.
    ca_file : Path, optional
        Certificates that servers' must come from; by default those that the system trusts.

    Raises
    ------
    StorageRefused
        There are no certificates in the file.
    """
    http = urllib3.PoolManager(
        maxsize=connections,
        # Not blocking when all are taken: an open stream keeps its connection between two reads,
        # and threads that waited for it would be those which its reads need.
        block=False,
        retries=_RETRIES,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=SILENCE_TIMEOUT_S),
        ssl_context=_trusting(ca_file),
    )
    http.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return http


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise StorageRefused(f"There are no certificates to trust in {ca_file}") from error

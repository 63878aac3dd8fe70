"""What went wrong with a remote AE, in the words that Orthanc's clients know."""

from __future__ import annotations

import os
import socket

from lanthorn_core.errors import NoPresentationContext, RemoteAEFailed
from lanthorn_dimse import (
    AssociationAborted,
    AssociationClosed,
    AssociationRejected,
    ConnectionFailed,
    DimseError,
    NoAcceptedContext,
    TimedOut,
)

CONNECTING = "connecting"


def remote_failure(error: DimseError, ae_title: str, doing: str) -> RemoteAEFailed:
    """Translate a failure of an association.

    Parameters
    ----------
    error : DimseError
        What the association raised.
    ae_title : str
        Of the remote AE.
    doing : str
        `CONNECTING`, or the service in use, such as ``C-STORE``.

    Returns
    -------
    RemoteAEFailed
        To be raised; its details are Orthanc's, whose words are those of DCMTK.
    """
    if isinstance(error, NoAcceptedContext):
        return NoPresentationContext(
            f'Unable to negotiate a presentation context with AET "{ae_title}"'
        )
    return RemoteAEFailed(f'DicomAssociation - {doing} to AET "{ae_title}": {_cause(error, doing)}')


def status_failure(ae_title: str, service: str, status: int) -> RemoteAEFailed:
    """Make the error of a response with a failure status (PS3.7 Annex C).

    Parameters
    ----------
    ae_title : str
        Of the remote AE.
    service : str
        Such as ``C-STORE``.
    status : int
        Status (0000,0900) of the response.
    """
    return RemoteAEFailed(
        f'{service} SCU to AET "{ae_title}" has failed with DIMSE status 0x{status:04X}',
        dimse_status=status,
    )


def _cause(error: DimseError, doing: str) -> str:
    match error:
        case ConnectionFailed(__cause__=socket.gaierror()):
            return "Attempt to connect to unknown host"
        case ConnectionFailed(__cause__=OSError(errno=int(number))):
            return f"TCP Initialization Error: {os.strerror(number)}"
        case ConnectionFailed():
            return f"TCP Initialization Error: {error}"
        case TimedOut() if doing == CONNECTING:
            return "TCP Initialization Error: Connection timed out"
        case TimedOut():
            return "DIMSE No data available (timeout in non-blocking mode)"
        case AssociationRejected():
            return "DUL Association Rejected"
        case AssociationAborted() | AssociationClosed():
            return "Peer aborted Association (or never connected)"
    return str(error)

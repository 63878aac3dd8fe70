"""Failures of remote AEs in Orthanc's words, which scripts match."""

from __future__ import annotations

import errno
import socket

import pytest

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
from lanthorn_dimse_gateway.scu.remote_errors import CONNECTING, remote_failure, status_failure


def caused(error: DimseError, cause: Exception | None) -> DimseError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "doing", "details"),
    [
        (
            caused(ConnectionFailed("x"), ConnectionRefusedError(errno.ECONNREFUSED, "x")),
            CONNECTING,
            'DicomAssociation - connecting to AET "DEAD": '
            "TCP Initialization Error: Connection refused",
        ),
        (
            caused(ConnectionFailed("x"), socket.gaierror(-2, "Name or service not known")),
            CONNECTING,
            'DicomAssociation - connecting to AET "DEAD": Attempt to connect to unknown host',
        ),
        (
            AssociationRejected(1, 1, 7),
            CONNECTING,
            'DicomAssociation - connecting to AET "DEAD": DUL Association Rejected',
        ),
        (
            AssociationAborted(0, 0),
            "C-STORE",
            'DicomAssociation - C-STORE to AET "DEAD": '
            "Peer aborted Association (or never connected)",
        ),
        (
            AssociationClosed("lost"),
            "C-FIND",
            'DicomAssociation - C-FIND to AET "DEAD": '
            "Peer aborted Association (or never connected)",
        ),
        (
            TimedOut("silent"),
            "C-STORE",
            'DicomAssociation - C-STORE to AET "DEAD": '
            "DIMSE No data available (timeout in non-blocking mode)",
        ),
    ],
)
def test_details_are_those_of_orthanc(error: DimseError, doing: str, details: str) -> None:
    failure = remote_failure(error, "DEAD", doing)
    assert (type(failure), failure.details) == (RemoteAEFailed, details)


def test_no_accepted_context_has_an_error_of_its_own() -> None:
    failure = remote_failure(NoAcceptedContext(), "NOCTX", "C-STORE")
    assert isinstance(failure, NoPresentationContext)
    assert failure.details == 'Unable to negotiate a presentation context with AET "NOCTX"'


def test_a_failure_status_is_shown() -> None:
    failure = status_failure("FAIL", "C-STORE", 0xA700)
    assert failure.details == 'C-STORE SCU to AET "FAIL" has failed with DIMSE status 0xA700'
    assert failure.dimse_status == 0xA700

"""DICOM associations and DIMSE messages for asyncio, acceptor and requestor in one.

The README of this package shows both in use. Everything public is here; modules that are not
named are the library's own.
"""

from lanthorn_dimse.association import Association, DataSet
from lanthorn_dimse.client import associate, connect
from lanthorn_dimse.command_set import (
    NO_DATA_SET,
    Command,
    CommandField,
    decode_command,
    encode_command,
)
from lanthorn_dimse.errors import (
    AssociationAborted,
    AssociationClosed,
    AssociationRejected,
    ConnectionFailed,
    DimseError,
    InvalidCommand,
    NoAcceptedContext,
    ProtocolError,
    TimedOut,
)
from lanthorn_dimse.exchanges import Response
from lanthorn_dimse.framing import BytesLike
from lanthorn_dimse.handler import DataSetSink, Ended, Request, RequestHandler
from lanthorn_dimse.negotiation import (
    APPLICATION_CONTEXT_NAME,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    DECISION_FAILED,
    LOCAL_LIMIT_EXCEEDED,
    AcceptedContext,
    AnsweredContext,
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
    ContextResult,
    Decision,
    ProposedContext,
    Roles,
    UserIdentity,
    propose,
)
from lanthorn_dimse.options import Limits, Timers
from lanthorn_dimse.server import MakeHandler, Negotiate, PeerAddress, Server, ServerOptions, serve

__all__ = [
    "APPLICATION_CONTEXT_NAME",
    "APPLICATION_CONTEXT_NOT_SUPPORTED",
    "CALLED_AE_TITLE_NOT_RECOGNIZED",
    "CALLING_AE_TITLE_NOT_RECOGNIZED",
    "DECISION_FAILED",
    "LOCAL_LIMIT_EXCEEDED",
    "NO_DATA_SET",
    "AcceptedContext",
    "AnsweredContext",
    "AssociateAcceptance",
    "AssociateRejection",
    "AssociateRequest",
    "Association",
    "AssociationAborted",
    "AssociationClosed",
    "AssociationRejected",
    "BytesLike",
    "Command",
    "CommandField",
    "ConnectionFailed",
    "ContextResult",
    "DataSet",
    "DataSetSink",
    "Decision",
    "DimseError",
    "Ended",
    "InvalidCommand",
    "Limits",
    "MakeHandler",
    "Negotiate",
    "NoAcceptedContext",
    "PeerAddress",
    "ProposedContext",
    "ProtocolError",
    "Request",
    "RequestHandler",
    "Response",
    "Roles",
    "Server",
    "ServerOptions",
    "TimedOut",
    "Timers",
    "UserIdentity",
    "associate",
    "connect",
    "decode_command",
    "encode_command",
    "propose",
    "serve",
]

"""Every failure this system raises on purpose, and what each protocol says of it.

::

    LanthornError
    ├── InvalidDataset                unparsable bytes
    │   └── MissingIdentifier         a UID the index needs is absent
    ├── SopClassMismatch              command and data set disagree
    ├── UnsupportedSopClass
    ├── UnsupportedTransferSyntax
    ├── NotAcceptable
    ├── NotAuthorized
    ├── InvalidParameter
    │   ├── BadRequest
    │   ├── BadParameterType
    │   ├── UnknownTag
    │   └── InvalidIdentifier
    ├── UnknownResource
    │   └── InexistentItem
    ├── UnknownRemoteAE
    ├── RemoteAEFailed                a remote AE refused, failed or was not reached
    │   ├── NoPresentationContext     it accepts nothing that we can send
    │   └── InvalidRemoteQuery        it cannot process a query of ours
    ├── BadSequenceOfCalls            something else must happen first
    ├── DuplicateInstance
    ├── RevisionMismatch
    ├── StorageFull
    ├── NotRenderable
    ├── DecodeFailed
    ├── JobCanceled
    └── TransientError
        ├── StorageUnavailable
        │   └── StorageRefused        it answers, and does not permit it
        ├── BusUnavailable
        │   └── BusRefused                it answers, or is not trusted
        ├── IndexUnavailable
        │   ├── IndexRefused              it answers, and does not permit it
        │   └── SchemaOutdated            a migration has not run yet
        ├── RendererUnavailable
        ├── GatewayUnavailable
        └── DeadlineExceeded

The class *is* the mapping: a face of the system (DIMSE, Orthanc's REST, DICOMweb) reads the
class attributes and never decides by itself.

References
----------
DICOM PS3.4 Sections B.2.3, C.4.1 to C.4.3; PS3.7 Annex C. Orthanc's codes: its ``ErrorCodes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

ORTHANC_ERRORS: Final[dict[int, str]] = {
    -1: "Internal error",
    2: "Not implemented yet",
    3: "Parameter out of range",
    4: "The server hosting Orthanc is running out of memory",
    5: "Bad type for a parameter",
    6: "Bad sequence of calls",
    7: "Accessing an inexistent item",
    8: "Bad request",
    9: "Error in the network protocol",
    12: "Invalid URI",
    15: "Bad file format",
    16: "Timeout",
    17: "Unknown resource",
    19: "The file storage is full",
    20: "Corrupted file (e.g. inconsistent MD5 hash)",
    21: "Inexistent tag",
    23: "Incompatible format of the images",
    27: "Unknown DICOM tag",
    28: "Cannot parse a JSON document",
    29: "Bad credentials were provided to an HTTP request",
    34: "Cannot convert to the Accept type requested by an HTTP request",
    36: "The database is currently not available (probably a transient situation)",
    37: "This job was canceled",
    43: (
        "A bad revision number was provided, which might indicate conflict between multiple writers"
    ),
    45: "Access to a resource is forbidden",
    46: "Duplicate resource",
    2015: "DicomUserConnection: No acceptable presentation context for modality",
    3000: "Unsupported media type",
}
"""Orthanc's texts of the error codes that our classes name; scripts match them verbatim."""


class LanthornError(Exception):
    """Base of every failure this system raises on purpose."""

    slug: ClassVar[str] = "internal-error"
    http_status: ClassVar[int] = 500
    orthanc_code: ClassVar[int] = -1
    c_store: ClassVar[int] = 0xC001
    c_find: ClassVar[int] = 0xC001
    c_move: ClassVar[int] = 0xC001
    retryable: ClassVar[bool] = False

    payload: Mapping[str, Any] | None = None
    """What programs are told of this one failure (Orthanc's `ErrorPayload`)."""

    @property
    def details(self) -> str:
        """What was wrong, for the client; empty when the class says it all."""
        return str(self)


class InvalidDataset(LanthornError):
    """The bytes are not a DICOM data set, or break its rules."""

    slug, http_status, orthanc_code, c_store = "invalid-dataset", 400, 15, 0xC000


class MissingIdentifier(InvalidDataset):
    """The data set lacks a UID without which it has no place in the index."""

    slug, http_status, orthanc_code = "missing-identifier", 404, 21


class SopClassMismatch(LanthornError):
    """SOP Class or Instance UID of the data set differ from those of the command."""

    slug, http_status, orthanc_code, c_store = "sop-class-mismatch", 409, 15, 0xA900


class UnsupportedSopClass(LanthornError):
    """No service of ours takes this SOP class."""

    slug, http_status, orthanc_code = "unsupported-sop-class", 409, 15
    c_store, c_find, c_move = 0x0122, 0x0122, 0x0122


class UnsupportedTransferSyntax(LanthornError):
    """The encoding is unknown, or refused by configuration."""

    slug, http_status, orthanc_code, c_store = "unsupported-transfer-syntax", 415, 3000, 0xC122


class NotAcceptable(LanthornError):
    """The client accepts no media type that we can make of this resource."""

    slug, http_status, orthanc_code = "not-acceptable", 406, 34


class NotAuthorized(LanthornError):
    """The peer or user may not do this."""

    slug, http_status, orthanc_code = "not-authorized", 403, 45
    c_store, c_find, c_move = 0x0124, 0x0124, 0x0124


class InvalidParameter(LanthornError):
    """A parameter is outside what it may be."""

    slug, http_status, orthanc_code = "invalid-parameter", 400, 3
    c_find, c_move = 0xA900, 0xA900


class BadRequest(InvalidParameter):
    """The request as a whole does not make sense (Orthanc's code 8)."""

    slug, orthanc_code = "bad-request", 8


class BadParameterType(InvalidParameter):
    """A parameter is of the wrong type (Orthanc's code 5)."""

    slug, orthanc_code = "bad-parameter-type", 5


class UnknownTag(InvalidParameter):
    """No DICOM tag has this name; HTTP 500 because Orthanc answers so."""

    slug, http_status, orthanc_code = "unknown-tag", 500, 27


class InvalidIdentifier(InvalidParameter):
    """A C-FIND, C-MOVE or C-GET identifier breaks the rules of its information model."""

    slug = "invalid-identifier"
    c_find = 0xC000


class UnknownResource(LanthornError):
    """There is no such resource; in DIMSE this is an answer without matches, not a failure."""

    slug, http_status, orthanc_code = "unknown-resource", 404, 17
    c_find, c_move = 0x0000, 0x0000


class InexistentItem(UnknownResource):
    """The resource exists, the item asked of it does not (Orthanc's code 7)."""

    slug, orthanc_code = "inexistent-item", 7


class UnknownRemoteAE(LanthornError):
    """The move destination, or a modality named by a client, is not configured."""

    slug, http_status, orthanc_code, c_move = "unknown-remote-ae", 404, 7, 0xA801


class RemoteAEFailed(LanthornError):
    """A remote AE was not reached, refused, or answered a request of ours with a failure.

    Parameters
    ----------
    details : str
        What happened, in Orthanc's words where it has some.
    dimse_status : int, optional
        The failure status that the remote AE answered.
    """

    slug, http_status, orthanc_code = "remote-ae-failed", 500, 9
    c_move = 0xA702

    def __init__(self, details: str = "", *, dimse_status: int | None = None) -> None:
        super().__init__(details)
        self.dimse_status = dimse_status
        if dimse_status is not None:
            self.payload = {"Type": "Dimse", "Content": {"DimseErrorStatus": dimse_status}}


class NoPresentationContext(RemoteAEFailed):
    """A remote AE accepts no presentation context for what it shall be sent (code 2015)."""

    slug, orthanc_code = "no-presentation-context", 2015


class InvalidRemoteQuery(RemoteAEFailed):
    """A remote AE cannot process a query of ours; HTTP 422 because Orthanc answers so."""

    slug, http_status = "invalid-remote-query", 422


class BadSequenceOfCalls(LanthornError):
    """What is asked needs something that has not happened (Orthanc's code 6)."""

    slug, http_status, orthanc_code = "bad-sequence-of-calls", 500, 6


class DuplicateInstance(LanthornError):
    """Another instance of the same UID is stored and policy refuses a second."""

    slug, http_status, orthanc_code, c_store = "duplicate-instance", 409, 46, 0x0111


class RevisionMismatch(LanthornError):
    """``If-Match`` does not name the revision that is there (Orthanc's code 43)."""

    slug, http_status, orthanc_code = "revision-mismatch", 409, 43


class StorageFull(LanthornError):
    """No room is left; the sender may try again when there is."""

    slug, http_status, orthanc_code, retryable = "storage-full", 507, 19, True
    c_store, c_move = 0xA700, 0xA702


class NotRenderable(LanthornError):
    """The instance has no pixels, or none that can become the picture asked for."""

    slug, http_status, orthanc_code = "not-renderable", 415, 3000


class DecodeFailed(LanthornError):
    """The pixels are broken or their codec failed."""

    slug, http_status, orthanc_code = "decode-failed", 500, 20


class JobCanceled(LanthornError):
    """A client canceled the job before its end (Orthanc's code 37)."""

    slug, orthanc_code = "job-canceled", 37


class TransientError(LanthornError):
    """A dependency is unwell: answer 503, let the sender try again."""

    slug, http_status, orthanc_code, retryable = "unavailable", 503, 36, True
    c_store, c_find, c_move = 0xA700, 0xA700, 0xA702


class StorageUnavailable(TransientError):
    """The object store does not answer."""

    slug = "storage-unavailable"


class StorageRefused(StorageUnavailable):
    """The object store does not permit this: credentials, a policy, an object lock."""

    slug = "storage-refused"


class BusUnavailable(TransientError):
    """The event stream does not acknowledge."""

    slug = "bus-unavailable"


class BusRefused(BusUnavailable):
    """The event stream does not let us in, or is not to be trusted."""

    slug = "bus-refused"


class IndexUnavailable(TransientError):
    """The database does not answer."""

    slug = "index-unavailable"
    c_move = 0xA701


class IndexRefused(IndexUnavailable):
    """The database does not permit this, or does not let us in."""

    slug = "index-refused"


class SchemaOutdated(IndexUnavailable):
    """The database lacks tables that this version needs."""

    slug = "schema-outdated"


class RendererUnavailable(TransientError):
    """The renderer does not answer."""

    slug = "renderer-unavailable"


class GatewayUnavailable(TransientError):
    """No gateway takes commands, or the one that did is gone."""

    slug, orthanc_code = "gateway-unavailable", 9


class WorkersUnavailable(TransientError):
    """No process lives that runs jobs of the type asked for."""

    slug, orthanc_code = "workers-unavailable", 9


class DeadlineExceeded(TransientError):
    """A dependency answered too late."""

    slug, http_status, orthanc_code = "deadline-exceeded", 504, 16


def every_error(base: type[LanthornError] = LanthornError) -> Iterator[type[LanthornError]]:
    """Walk the classes of errors that are loaded, the base first."""
    yield base
    for subclass in base.__subclasses__():
        yield from every_error(subclass)


def error_of(
    slug: str, details: str = "", payload: Mapping[str, Any] | None = None
) -> LanthornError:
    """Make again an error that another process told by its slug; unknown ones are internal."""
    # The base comes first, and counts where a class of one part has its slug.
    kind = next((kind for kind in every_error() if kind.slug == slug), LanthornError)
    error = kind(details)
    error.payload = payload
    return error

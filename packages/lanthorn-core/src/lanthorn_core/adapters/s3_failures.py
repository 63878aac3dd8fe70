"""What an S3 server's refusals and silences mean in our own errors."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError
from urllib3.response import BaseHTTPResponse

from lanthorn_core.errors import (
    LanthornError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    UnknownResource,
)

_INSUFFICIENT_STORAGE: Final = 507
_FULL: Final = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
_NOT_THERE: Final = frozenset({"NoSuchKey", "ResourceNotFound"})
_FORBIDDEN: Final = frozenset({401, 403, 405})
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")


class BucketGoneError(Exception):
    """The bucket is not there."""


class RefusedError(Exception):
    """The server answered, and not with success; raised where the SDK is not asked.

    Parameters
    ----------
    response : BaseHTTPResponse
        The whole answer.
    """

    def __init__(self, response: BaseHTTPResponse) -> None:
        self.status = response.status
        self.code = _code_in(response.data.decode("utf-8", "replace"))
        super().__init__(f"{self.status} {self.code}")


# ParseError and UnicodeDecodeError: the SDK reads any answer as XML, also a broken proxy's.
_FAILURES: Final = (
    *(BucketGoneError, RefusedError, MinioException, HTTPError, OSError),
    *(ParseError, UnicodeDecodeError),
)


@contextlib.contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Raise our errors for those of the SDK and of HTTP.

    Parameters
    ----------
    key : str
        The object that it is about; empty for the bucket.
    """
    try:
        yield
    except _FAILURES as error:
        raise _storage_error(error, key) from error


def answer_in(error: Exception) -> tuple[int, str]:
    """HTTP status and S3's code that an exception tells of; 0 and nothing without an answer."""
    if isinstance(error, RefusedError):
        return error.status, error.code
    if isinstance(error, S3Error):
        return int(error.response.status), error.code or ""
    if isinstance(error, InvalidResponseError):
        # What the SDK does not take for XML, such as rclone's text/xml, may well be S3's.
        return int(error._code), _code_in(error._body or "")
    return (int(error.status_code), "") if isinstance(error, ServerError) else (0, "")


def _storage_error(error: Exception, key: str) -> LanthornError:
    status, code = answer_in(error)
    answer = f"{status} {code}".rstrip()
    if code in _NOT_THERE:
        return UnknownResource(f"There is no object {key}")
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return StorageFull("No room is left in the object store")
    if code == "NoSuchBucket" or isinstance(error, BucketGoneError):
        return StorageUnavailable("The bucket of the objects is gone")
    if status in _FORBIDDEN:
        return StorageRefused(
            f"The object store answered {answer}: see its credentials, policy and object lock"
        )
    if status:
        return StorageUnavailable(f"The object store answered {answer}")
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return StorageRefused(f"The object store is not trusted: {cause.verify_message}")
    return StorageUnavailable(f"The object store does not answer: {type(cause).__name__}")


def _cause(error: BaseException) -> BaseException:
    """Find what lies behind: urllib3 wraps it, and its own texts are long."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _cause(reason)
    # urllib3's own kind of SSLError has the true one as its argument.
    wrapped = error.args[0] if isinstance(error, SSLError) and error.args else None
    return wrapped if isinstance(wrapped, ssl.SSLCertVerificationError) else error


def _code_in(body: str) -> str:
    found = _CODE.search(body)
    return found[1] if found else ""

"""Remote AEs as clients write them, and Orthanc's words for what is wrong (reference 2.12.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import ValidationError

from lanthorn_core.errors import BadParameterType, InvalidParameter
from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.remote import SYMBOLIC_NAME, RemoteAEEntry
from lanthorn_rest_api.parameters import BadFormat

_TEXTS: Final = ("AET", "Host")
_OPTIONAL_TEXTS: Final = ("LocalAet", "Manufacturer", "RetrieveMethod")
_FLAGS: Final = (
    *("AllowEcho", "AllowEventReport", "AllowFind", "AllowFindWorklist", "AllowGet", "AllowMove"),
    *("AllowNAction", "AllowStorageCommitment", "AllowStore", "AllowTranscoding", "UseDicomTls"),
)
_RETRIEVE_METHODS: Final = frozenset({"C-MOVE", "C-GET", "SystemDefault"})
_PORT: Final = re.compile(r"[+-]?\d{1,9}")
_LARGEST_PORT: Final = 65535


def check_symbolic_name(name: str) -> None:
    """Refuse what cannot be the name of a remote AE.

    Raises
    ------
    BadFormat
        It has other characters than letters, digits, dashes and underscores.
    """
    if not SYMBOLIC_NAME.fullmatch(name):
        raise BadFormat(
            "Only alphanumeric, dash characters and underscores are allowed in the names of "
            f"modalities/peers, but found: {name}"
        )


def parse_remote_ae(document: Any) -> RemoteAE:
    """Read a remote AE: an object, or ``[AET, Host, Port]`` with an optional manufacturer.

    Raises
    ------
    BadFormat, BadParameterType, InvalidParameter
        Something is missing, of the wrong type, or out of its range.
    """
    if isinstance(document, list):
        if len(document) not in {3, 4} or not all(
            isinstance(part, str) for part in (*document[:2], *document[3:])
        ):
            raise BadFormat
        _check_port(document[2])
    elif isinstance(document, dict):
        _check_fields(document)
    else:
        raise BadFormat
    try:
        return RemoteAEEntry.model_validate(document).remote_ae
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"] == ("Manufacturer",):
            raise InvalidParameter(f'Unknown modality manufacturer: "{first["input"]}"') from error
        where = ".".join(map(str, first["loc"]))
        raise InvalidParameter(f"{where}: {first['msg']}") from error


def _check_fields(document: dict[str, Any]) -> None:
    for name in _TEXTS:
        if not isinstance(document.get(name), str):
            raise BadFormat(f"String value expected in field: {name}")
    _check_port(document.get("Port"))
    for name in _OPTIONAL_TEXTS:
        if not isinstance(document.get(name, ""), str):
            raise BadFormat(f"String value expected in field: {name}")
    for name in _FLAGS:
        if not isinstance(document.get(name, True), bool):
            raise BadFormat(f"Boolean value expected in field: {name}")
    unsigned_seconds(document)
    if "RetrieveMethod" in document:
        check_retrieve_method(document["RetrieveMethod"])


def _check_port(port: Any) -> None:
    if isinstance(port, str) and _PORT.fullmatch(port):
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int):
        raise BadFormat
    check_port(port)


def check_port(port: int) -> None:
    """Refuse a number that is none of a TCP port.

    Raises
    ------
    InvalidParameter
        It is out of range.
    """
    if not 1 <= port <= _LARGEST_PORT:
        raise InvalidParameter(
            f"A TCP port number must be in range [1..{_LARGEST_PORT}], but found: {port}"
        )


def check_retrieve_method(method: str) -> None:
    """Refuse what is no retrieve method.

    Raises
    ------
    InvalidParameter
        It is another text.
    """
    if method not in _RETRIEVE_METHODS:
        raise InvalidParameter(
            f'RetrieveMethod can be "C-MOVE", "C-GET" or "SystemDefault": {method}'
        )


def unsigned_seconds(body: dict[str, Any]) -> int:
    """Read `Timeout` in seconds; 0 where it is absent.

    Raises
    ------
    BadFormat, BadParameterType
        It is no integer, or negative.
    """
    value = body.get("Timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value > 2**31:
        raise BadFormat("Integer value expected in field: Timeout")
    if value < 0:
        raise BadParameterType(
            "Negative value found while expecting an unsigned int in field 'Timeout'"
        )
    return value

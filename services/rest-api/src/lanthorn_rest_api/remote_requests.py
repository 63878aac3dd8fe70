"""Which remote AE a request means, and how it is to be called: what all its routes share."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from lanthorn_core.errors import BadParameterType, InvalidParameter
from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.remote import AETitle
from lanthorn_rest_api.modality_entries import unsigned_seconds
from lanthorn_rest_api.parameters import BadFormat, read_json
from lanthorn_rest_api.services import Services

_AE_TITLE: Final[TypeAdapter[str]] = TypeAdapter(AETitle)


def ae_title(text: str) -> str:
    """Read an AE title.

    Raises
    ------
    InvalidParameter
        It is none.
    """
    try:
        return _AE_TITLE.validate_python(text)
    except ValidationError as error:
        raise InvalidParameter(
            "An AE title has 1 to 16 characters of ASCII and no backslash"
        ) from error


def text_field(body: dict[str, Any], name: str) -> str:
    """Read a text; empty where it is absent.

    Raises
    ------
    BadParameterType
        It is no text.
    """
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadParameterType
    return value


def ae_title_field(body: dict[str, Any], name: str) -> str:
    """Read an AE title; empty where it is absent or empty.

    Raises
    ------
    BadParameterType, InvalidParameter
        It is no text, or no AE title.
    """
    text = text_field(body, name)
    return ae_title(text) if text else ""


async def any_body(request: Request) -> Any:
    """Read a JSON body that may be missing; None where it is empty.

    Raises
    ------
    BadFormat
        It is not JSON.
    """
    if not (await request.body()).strip():
        return None
    try:
        return await read_json(request)
    except InvalidParameter as error:
        raise BadFormat("Cannot parse the JSON body") from error


async def object_body(request: Request, complaint: str) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises
    ------
    BadFormat
        It is something else; the text is `complaint`.
    """
    try:
        body = await read_json(request)
    except InvalidParameter as error:
        raise BadFormat(complaint) from error
    if not isinstance(body, dict):
        raise BadFormat(complaint)
    return body


async def called_remote(services: Services, name: str, body: dict[str, Any]) -> RemoteAE:
    """Return a remote AE with all that a call of it needs.

    Parameters
    ----------
    services : Services
        Of this process.
    name : str
        The symbolic name.
    body : dict
        Its `LocalAet` and `Timeout` count more than those of the remote AE, which count more than
        those of the configuration.

    Raises
    ------
    UnknownRemoteAE
        There is no such remote AE.
    BadFormat, BadParameterType, InvalidParameter
        A field is wrong.
    """
    remote = await services.remote_aes.get(name)
    settings = services.settings
    return msgspec.structs.replace(
        remote,
        local_ae_title=(
            ae_title_field(body, "LocalAet") or remote.local_ae_title or settings.dicom_aet
        ),
        timeout_s=unsigned_seconds(body) or remote.timeout_s or settings.dicom_scu_timeout,
    )

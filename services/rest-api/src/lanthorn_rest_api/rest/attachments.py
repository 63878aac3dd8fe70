"""Attachments of resources (reference 2.8): of an instance its file, `dicom`; others are not kept.

The file is kept as it came, so that its sizes and digests are the same compressed and not.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from lanthorn_core.errors import BadRequest, InexistentItem, NotAuthorized, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Resource
from lanthorn_rest_api.answers import action_answer, json_answer, text_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.etags import etag, matches_client
from lanthorn_rest_api.parameters import bounded
from lanthorn_rest_api.presentation import existing
from lanthorn_rest_api.resources_json import DICOM_ATTACHMENT, file_uuid
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

DICOM: Final = "dicom"
OPERATIONS: Final = (
    "compressed-data",
    "compressed-md5",
    "compressed-size",
    "data",
    "info",
    "is-compressed",
    "md5",
    "size",
    "verify-md5",
)
_MD5_OPERATIONS: Final = frozenset({"compressed-md5", "md5", "verify-md5"})
"""Those that need `StoreMD5ForAttachments`."""

_SYSTEM_NAMES: Final = {DICOM: DICOM_ATTACHMENT, "dicom-as-json": 2, "dicom-until-pixel-data": 3}
_FIRST_USER_NUMBER: Final = 1024
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@router.get("/{level:level}/{public_id}/attachments")
async def list_attachments(
    level: Level, public_id: str, request: Request, services: ServicesDep
) -> Response:
    """List the attachments."""
    await existing(services, level, public_id)
    attachments = {DICOM: DICOM_ATTACHMENT} if level is Level.INSTANCE else {}
    return json_answer(attachments if "full" in request.query_params else list(attachments))


@router.get("/{level:level}/{public_id}/attachments/{name}")
async def list_operations(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """List what can be asked of an attachment."""
    resource = await _with_file(services, level, public_id, name)
    has_md5 = services.settings.store_md5_for_attachments
    operations = [name for name in OPERATIONS if has_md5 or name not in _MD5_OPERATIONS]
    return _unless_known(request, resource) or json_answer(operations, headers=_headers(resource))


@router.put("/{level:level}/{public_id}/attachments/{name}")
@router.delete("/{level:level}/{public_id}/attachments/{name}")
async def refuse_change(level: Level, public_id: str, name: str, services: ServicesDep) -> Response:
    """Refuse to change what the server keeps; there are no attachments of users yet."""
    number = _number(services, name)
    await existing(services, level, public_id)
    if number < _FIRST_USER_NUMBER:
        raise NotAuthorized
    raise UnknownResource


@router.get("/{level:level}/{public_id}/attachments/{name}/data")
@router.get("/{level:level}/{public_id}/attachments/{name}/compressed-data")
async def send_file(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Send the file, or a range of its bytes."""
    resource = await _with_file(services, level, public_id, name)
    known = _unless_known(request, resource)
    if known is not None:
        return known
    size_bytes = resource.size_bytes
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted is None or wanted.groups() == ("", ""):
        filename = request.query_params.get("filename") or file_uuid(resource)
        headers = _headers(resource) | {
            "Content-Disposition": f'filename="{_quotable(filename)}"',
            "Content-Length": str(size_bytes),
        }
        body = services.objects.stream(resource.object_key)
        return StreamingResponse(body, headers=headers, media_type="application/dicom")
    if wanted[1]:
        first = int(wanted[1])
        last = min(int(wanted[2]) if wanted[2] else size_bytes - 1, size_bytes - 1)
    else:  # the last bytes
        first, last = max(size_bytes - int(wanted[2]), 0), size_bytes - 1
    if first > last:
        return Response(
            status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            headers={"Content-Range": f"bytes */{size_bytes}", "Content-Type": "text/plain"},
        )
    length = last - first + 1
    headers = _headers(resource) | {
        "Content-Range": f"bytes {first}-{last}/{size_bytes}",
        "Content-Length": str(length),
    }
    return StreamingResponse(
        services.objects.stream(resource.object_key, start=first, length=length),
        status_code=HTTPStatus.PARTIAL_CONTENT,
        headers=headers,
        media_type="application/octet-stream",
    )


@router.get("/{level:level}/{public_id}/attachments/{name}/size")
@router.get("/{level:level}/{public_id}/attachments/{name}/compressed-size")
async def show_size(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell the size in bytes."""
    resource = await _with_file(services, level, public_id, name)
    return _unless_known(request, resource) or text_answer(
        str(resource.size_bytes), headers=_headers(resource)
    )


@router.get("/{level:level}/{public_id}/attachments/{name}/is-compressed")
async def show_is_compressed(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell that the store does not compress."""
    resource = await _with_file(services, level, public_id, name)
    return _unless_known(request, resource) or text_answer("0", headers=_headers(resource))


@router.get("/{level:level}/{public_id}/attachments/{name}/md5")
@router.get("/{level:level}/{public_id}/attachments/{name}/compressed-md5")
async def show_md5(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell the MD5 of the file."""
    resource = await _with_file(services, level, public_id, name)
    if not services.settings.store_md5_for_attachments:
        raise UnknownResource
    return _unless_known(request, resource) or text_answer(
        await _md5(services, resource), headers=_headers(resource)
    )


@router.get("/{level:level}/{public_id}/attachments/{name}/info")
async def show_info(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell all that is known of the file."""
    resource = await _with_file(services, level, public_id, name)
    known = _unless_known(request, resource)
    if known is not None:
        return known
    md5 = await _md5(services, resource) if services.settings.store_md5_for_attachments else ""
    info = {
        "CompressedMD5": md5,
        "CompressedSize": resource.size_bytes,
        "ContentType": DICOM_ATTACHMENT,
        "UncompressedMD5": md5,
        "UncompressedSize": resource.size_bytes,
        "Uuid": file_uuid(resource),
    }
    return json_answer(info, headers=_headers(resource))


@router.post("/{level:level}/{public_id}/attachments/{name}/verify-md5")
async def verify(level: Level, public_id: str, name: str, services: ServicesDep) -> Response:
    """Read the file once: the store itself knows whether it is whole."""
    resource = await _with_file(services, level, public_id, name)
    if not services.settings.store_md5_for_attachments:
        raise BadRequest
    await _md5(services, resource)
    return action_answer()


async def _with_file(services: Services, level: Level, public_id: str, name: str) -> Resource:
    number = _number(services, name)
    resource = await existing(services, level, public_id)
    if number != DICOM_ATTACHMENT or level is not Level.INSTANCE:
        raise UnknownResource
    return resource


def _number(services: Services, name: str) -> int:
    """Read the name or number of an attachment."""
    if name.isascii() and name.isdecimal():
        return bounded(name)
    user = services.settings.user_content_type.get(name)
    number = _SYSTEM_NAMES.get(name) if user is None else user.number
    if number is None:
        raise InexistentItem
    return number


async def _md5(services: Services, resource: Resource) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    async for chunk in services.objects.stream(resource.object_key):
        digest.update(chunk)
    return digest.hexdigest()


def _tag(resource: Resource) -> str:
    # Orthanc has the MD5 here. An object never changes, so its own id does as well, and the file
    # need not be read to tell it.
    return file_uuid(resource).replace("-", "")


def _headers(resource: Resource) -> dict[str, str]:
    return {"ETag": etag(0, _tag(resource))}


def _unless_known(request: Request, resource: Resource) -> Response | None:
    if not matches_client(request, 0, _tag(resource)):
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(resource))


def _quotable(filename: str) -> str:
    """Leave out what would end the header's quoted string, and what is no Latin-1."""
    shown = "".join(character for character in filename if character.isprintable())
    return shown.replace("\\", "").replace('"', "").encode("latin-1", "ignore").decode("latin-1")

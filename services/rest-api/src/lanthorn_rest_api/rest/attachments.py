"""Attachments of resources (reference 2.8): an instance's file, `dicom`, and what users attach.

All are kept as they came, so that their sizes and digests are the same compressed and not.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from lanthorn_core.errors import (
    BadRequest,
    DecodeFailed,
    InexistentItem,
    NotAuthorized,
    UnknownResource,
)
from lanthorn_core.model import Level
from lanthorn_rest_api.answers import action_answer, empty_answer, json_answer, text_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.etags import etag, expected_revision, matches_client
from lanthorn_rest_api.kept_files import KeptFile, attach_body, kept_files
from lanthorn_rest_api.metadata_names import FIRST_USER_NUMBER, LAST_USER_NUMBER
from lanthorn_rest_api.parameters import bounded
from lanthorn_rest_api.presentation import existing
from lanthorn_rest_api.resources_json import DICOM_ATTACHMENT
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
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@router.get("/{level:level}/{public_id}/attachments")
async def list_attachments(
    level: Level, public_id: str, request: Request, services: ServicesDep
) -> Response:
    """List the attachments."""
    resource = await existing(services, level, public_id)
    names = {kind.number: name for name, kind in services.settings.user_content_type.items()}
    names |= {number: name for name, number in _SYSTEM_NAMES.items()}
    numbers = [file.number for file in await kept_files(services, resource)]
    attachments = {names.get(number, str(number)): number for number in numbers}
    return json_answer(attachments if "full" in request.query_params else list(attachments))


@router.get("/{level:level}/{public_id}/attachments/{name}")
async def list_operations(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """List what can be asked of an attachment."""
    file = await _file(services, level, public_id, name)
    has_md5 = services.settings.store_md5_for_attachments
    operations = [name for name in OPERATIONS if has_md5 or name not in _MD5_OPERATIONS]
    return _unless_known(request, file) or json_answer(operations, headers=_headers(file))


@router.put("/{level:level}/{public_id}/attachments/{name}")
async def attach(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Attach a file, in place of the one of this name."""
    number = _writable_number(services, name)
    resource = await existing(services, level, public_id)
    attached = await attach_body(services, request, resource, number)
    return action_answer(headers={"ETag": etag(attached.revision, attached.md5)})


@router.delete("/{level:level}/{public_id}/attachments/{name}")
async def detach(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Remove what a user attached."""
    was_there = await services.editor.detach(
        level,
        public_id,
        _writable_number(services, name),
        expected=expected_revision(request),
        must_expect=services.settings.check_revisions,
    )
    if not was_there:
        raise UnknownResource
    return empty_answer()


@router.get("/{level:level}/{public_id}/attachments/{name}/data")
@router.get("/{level:level}/{public_id}/attachments/{name}/compressed-data")
async def send_file(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Send the file, or a range of its bytes."""
    file = await _file(services, level, public_id, name)
    known = _unless_known(request, file)
    if known is not None:
        return known
    size_bytes = file.size_bytes
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted is None or wanted.groups() == ("", ""):
        filename = request.query_params.get("filename") or file.uuid
        headers = _headers(file) | {
            "Content-Disposition": f'filename="{_quotable(filename)}"',
            "Content-Length": str(size_bytes),
        }
        body = services.objects.stream(file.object_key)
        return StreamingResponse(body, headers=headers, media_type=file.media_type)
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
    headers = _headers(file) | {
        "Content-Range": f"bytes {first}-{last}/{size_bytes}",
        "Content-Length": str(length),
    }
    return StreamingResponse(
        services.objects.stream(file.object_key, start=first, length=length),
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
    file = await _file(services, level, public_id, name)
    return _unless_known(request, file) or text_answer(str(file.size_bytes), headers=_headers(file))


@router.get("/{level:level}/{public_id}/attachments/{name}/is-compressed")
async def show_is_compressed(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell that the store does not compress."""
    file = await _file(services, level, public_id, name)
    return _unless_known(request, file) or text_answer("0", headers=_headers(file))


@router.get("/{level:level}/{public_id}/attachments/{name}/md5")
@router.get("/{level:level}/{public_id}/attachments/{name}/compressed-md5")
async def show_md5(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell the MD5 of the file."""
    file = await _file(services, level, public_id, name)
    if not services.settings.store_md5_for_attachments:
        raise UnknownResource
    return _unless_known(request, file) or text_answer(
        await _md5(services, file), headers=_headers(file)
    )


@router.get("/{level:level}/{public_id}/attachments/{name}/info")
async def show_info(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Tell all that is known of the file."""
    file = await _file(services, level, public_id, name)
    known = _unless_known(request, file)
    if known is not None:
        return known
    md5 = await _md5(services, file) if services.settings.store_md5_for_attachments else ""
    info = {
        "CompressedMD5": md5,
        "CompressedSize": file.size_bytes,
        "ContentType": file.number,
        "UncompressedMD5": md5,
        "UncompressedSize": file.size_bytes,
        "Uuid": file.uuid,
    }
    return json_answer(info, headers=_headers(file))


@router.post("/{level:level}/{public_id}/attachments/{name}/verify-md5")
async def verify(level: Level, public_id: str, name: str, services: ServicesDep) -> Response:
    """Read the file once: the store itself knows whether it is whole."""
    file = await _file(services, level, public_id, name)
    if not services.settings.store_md5_for_attachments:
        raise BadRequest
    digest = await _digest(services, file)
    if file.md5 not in {"", digest}:
        raise DecodeFailed(f"The file has the MD5 {digest}, not {file.md5}")
    return action_answer()


async def _file(services: Services, level: Level, public_id: str, name: str) -> KeptFile:
    number = _number(services, name)
    resource = await existing(services, level, public_id)
    for file in await kept_files(services, resource):
        if file.number == number:
            return file
    raise UnknownResource


def _writable_number(services: Services, name: str) -> int:
    number = _number(services, name)
    if number < FIRST_USER_NUMBER:
        raise NotAuthorized
    if number > LAST_USER_NUMBER:
        raise InexistentItem
    return number


def _number(services: Services, name: str) -> int:
    """Read the name or number of an attachment."""
    if name.isascii() and name.isdecimal():
        return bounded(name)
    user = services.settings.user_content_type.get(name)
    number = _SYSTEM_NAMES.get(name) if user is None else user.number
    if number is None:
        raise InexistentItem
    return number


async def _md5(services: Services, file: KeptFile) -> str:
    return file.md5 or await _digest(services, file)


async def _digest(services: Services, file: KeptFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    async for chunk in services.objects.stream(file.object_key):
        digest.update(chunk)
    return digest.hexdigest()


def _headers(file: KeptFile) -> dict[str, str]:
    return {"ETag": etag(file.revision, file.tag)}


def _unless_known(request: Request, file: KeptFile) -> Response | None:
    if not matches_client(request, file.revision, file.tag):
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(file))


def _quotable(filename: str) -> str:
    """Leave out what would end the header's quoted string, and what is no Latin-1."""
    shown = "".join(character for character in filename if character.isprintable())
    return shown.replace("\\", "").replace('"', "").encode("latin-1", "ignore").decode("latin-1")

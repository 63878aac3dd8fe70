"""Stored instances as DICOM JSON, pixels included, without holding these in memory.

References
----------
DICOM PS3.18 Annex F.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from lanthorn_core.dicom.dicomjson import to_dicom_json
from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE, encoding_of
from lanthorn_core.dicom.part10 import read_dataset
from lanthorn_core.ports.index import StoredInstance
from lanthorn_rest_api.answers import encode_json
from lanthorn_rest_api.dataset_content import in_little_endian
from lanthorn_rest_api.instance_datasets import (
    PIXEL_DATA,
    in_memory_bytes,
    pixel_layout,
    read_instance,
)
from lanthorn_rest_api.services import Services
from lanthorn_rest_api.threads import in_thread

DICOM_JSON_TYPE: Final = "application/dicom+json"

_PIXEL_DATA_KEY: Final = f"{PIXEL_DATA:08X}"
_WHOLE_GROUPS_BYTES: Final = 6
"""Base64 takes three bytes at a time, and a word has two."""


async def dicom_json_answer(services: Services, instance: StoredInstance) -> Response:
    """Answer with the data set as DICOM JSON; native Pixel Data is inline, other is left out.

    Raises
    ------
    InvalidDataset, StorageUnavailable, UnknownResource
        As `read_instance`.
    """
    default_encoding = services.settings.default_encoding
    if instance.pixel_data_offset is None:
        async with services.budget.reserve(in_memory_bytes(instance)):
            data = await services.objects.get(instance.object_key)
            body = await in_thread(_encode_whole, data, default_encoding)
        return Response(body, media_type=DICOM_JSON_TYPE)
    parsed = await read_instance(services, instance, whole=True)
    document = await in_thread(to_dicom_json, parsed.dataset, default_encoding=default_encoding)
    layout = await pixel_layout(services.objects, instance)
    start, length = layout.blocks[0] if layout.blocks else (0, 0)
    # Encapsulated pixels end with a delimiter, behind the last of their fragments.
    if start + length != layout.end:
        return Response(await in_thread(encode_json, document), media_type=DICOM_JSON_TYPE)
    vr = layout.vr or "OW"
    # Nobody can have put a text into the data set that is made up only now.
    mark = secrets.token_hex()
    document[_PIXEL_DATA_KEY] = {"vr": vr, "InlineBinary": mark} if length else {"vr": vr}
    body = await in_thread(encode_json, document)
    if not length:
        return Response(body, media_type=DICOM_JSON_TYPE)
    before, _, after = body.partition(mark.encode())
    little_endian = (encoding_of(instance.transfer_syntax_uid) or EXPLICIT_LITTLE).little_endian

    async def pieces() -> AsyncIterator[bytes]:
        yield before
        left = b""
        async for chunk in services.objects.stream(instance.object_key, start=start, length=length):
            left += chunk
            whole = len(left) // _WHOLE_GROUPS_BYTES * _WHOLE_GROUPS_BYTES
            yield _base64(left[:whole], vr, little_endian=little_endian)
            left = left[whole:]
        yield _base64(left, vr, little_endian=little_endian) + after

    return StreamingResponse(
        pieces(),
        headers={"Content-Length": str(len(before) + (length + 2) // 3 * 4 + len(after))},
        media_type=DICOM_JSON_TYPE,
    )


def _base64(value: bytes, vr: str, *, little_endian: bool) -> bytes:
    return base64.b64encode(in_little_endian(value, vr, little_endian=little_endian))


def _encode_whole(data: bytes, default_encoding: str) -> bytes:
    dataset = read_dataset(data, until_pixels=False)
    document: dict[str, Any] = to_dicom_json(dataset, default_encoding=default_encoding)
    return encode_json(document)

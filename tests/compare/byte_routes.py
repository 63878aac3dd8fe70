"""Routes that answer with bytes, for `compare_with_orthanc`, and how their bodies are compared."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from io import BytesIO
from typing import Any, Final

from PIL import Image

INSTANCES: Final = ("instances",)
ABOVE_INSTANCES: Final = ("patients", "studies", "series")

BYTE_ROUTES: Final[dict[str, tuple[str, ...]]] = {
    "/file": INSTANCES,
    "/file?filename=x.dcm": INSTANCES,
    "/file?filename=": INSTANCES,
    "/file?transcode=nothing": INSTANCES,
    "/tags": INSTANCES,
    "/tags?short": INSTANCES,
    "/tags?whole": INSTANCES,
    "/tags?whole=maybe": INSTANCES,
    "/tags?ignore-length=0029-1010,PatientName": INSTANCES,
    "/tags?ignore-length=nothing": INSTANCES,
    "/simplified-tags": INSTANCES,
    "/header": INSTANCES,
    "/header?simplify": INSTANCES,
    "/pdf": INSTANCES,
    "/content": INSTANCES,
    "/content/PatientName": INSTANCES,
    "/content/0008-0018": INSTANCES,
    "/content/0028-0010": INSTANCES,
    "/content/0028-0010/0": INSTANCES,
    "/content/0010-1002": INSTANCES,
    "/content/0010-1002/0": INSTANCES,
    "/content/0010-1002/x": INSTANCES,
    "/content/7fe0-0010": INSTANCES,
    "/content/7fe0-0010/0": INSTANCES,
    "/content/7fe0-0010/1": INSTANCES,
    "/content/7fe0-0010/x": INSTANCES,
    "/content/nothing": INSTANCES,
    "/frames": INSTANCES,
    "/frames/0/raw": INSTANCES,
    "/frames/0/raw.gz": INSTANCES,
    "/frames/99/raw": INSTANCES,
    "/frames/x/raw": INSTANCES,
    "/frames/99/preview": INSTANCES,
    "/frames/x/preview": INSTANCES,
    "/preview": INSTANCES,
    "/preview?returnUnsupportedImage": INSTANCES,
    "/preview?quality=0": INSTANCES,
    "/rendered": INSTANCES,
    "/rendered?window-center=40&window-width=400": INSTANCES,
    "/rendered?width=20": INSTANCES,
    "/image-uint8": INSTANCES,
    "/image-uint16": INSTANCES,
    "/image-int16": INSTANCES,
    "/archive": ABOVE_INSTANCES,
    "/archive?filename=x.zip": ABOVE_INSTANCES,
    "/archive?transcode=nothing": ABOVE_INSTANCES,
}
"""What is asked below each resource, and at which levels."""


def comparable_bytes(content_type: str, body: bytes) -> Any:
    """Turn a body into what counts of it.

    The files of an archive, the pixels of a picture and the content of a gzip file count, not how
    well they are compressed.
    """
    if content_type == "application/zip":
        with zipfile.ZipFile(BytesIO(body)) as archive:
            return {name: _digest(archive.read(name)) for name in archive.namelist()}
    if content_type == "image/png":
        with Image.open(BytesIO(body)) as picture:
            return f"{picture.mode} {picture.size} {_digest(picture.tobytes())}"
    if content_type == "application/gzip":
        return _digest(gzip.decompress(body))
    return body if len(body) < 300 else _digest(body)


def _digest(data: bytes) -> str:
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"

"""The explorer's files below `/app/`, and the redirects that lead there (reference 2.1).

They are read once: they belong to this version of the service, and are few.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
"""No script but our own files, nothing from elsewhere; the explorer has no inline code."""

_PACKAGE: Final = "lanthorn_rest_api"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
}
"""Not left to the machine's table, which may know a type by another name or not at all."""


@dataclass(frozen=True, slots=True)
class ExplorerFile:
    """One file with what is sent along with it."""

    body: bytes
    media_type: str
    etag: str


@cache
def explorer_files() -> dict[str, ExplorerFile]:
    """Read all files of the explorer; keys are paths below `/app/`."""
    found: dict[str, ExplorerFile] = {}
    _collect(files(_PACKAGE).joinpath("explorer"), "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, ExplorerFile]) -> None:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            _collect(entry, f"{path}/", found)
            continue
        body = entry.read_bytes()
        suffix = f".{entry.name.rpartition('.')[2]}"
        media_type = _TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0]
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        found[path] = ExplorerFile(body, media_type or "application/octet-stream", etag)


def explorer_file(request: Request) -> Response:
    """Send a file of the explorer. What is not in the list of files is nowhere."""
    file = explorer_files().get(request.path_params["path"])
    if file is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    headers = {
        # Kept, but asked for again: a new version shows at once, an old one costs no bytes.
        "Cache-Control": "no-cache",
        "ETag": file.etag,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "SAMEORIGIN",
    }
    if file.etag in request.headers.get("If-None-Match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.body, headers={**headers, "Content-Type": file.media_type})


def to_explorer(request: Request) -> Response:
    """Lead a browser from the root to the explorer."""
    return _redirect("app/explorer.html")


def to_icon(request: Request) -> Response:
    """Lead a browser to the icon that it asks for without being told of one."""
    return _redirect("app/images/favicon.ico")


def no_listing(request: Request) -> Response:
    """Answer as Orthanc for the folder itself: nothing is there."""
    return Response(status_code=HTTPStatus.NOT_FOUND)


def _redirect(location: str) -> Response:
    # Relative, so that it holds below any prefix of a proxy.
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})


routes = [
    Route("/", to_explorer, methods=["GET"]),
    Route("/favicon.ico", to_icon, methods=["GET"]),
    Route("/app", no_listing, methods=["GET"]),
    Route("/app/{path:path}", explorer_file, methods=["GET"]),
]

"""Which picture a client would like: `Accept` against what a route can make (RFC 9110 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.ports.renderer import ImageFormat

MEDIA_TYPES: Final[dict[ImageFormat, str]] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pam": "image/x-portable-arbitrarymap",
}


def accepted_format(accept: str, offered: Sequence[ImageFormat]) -> ImageFormat | None:
    """Choose the picture format.

    Parameters
    ----------
    accept : str
        Header `Accept`; empty if there was none.
    offered : sequence of str
        Formats that can be made, the preferred one first.

    Returns
    -------
    str or None
        Of equal quality what the client names first counts. None when nothing suits.

    Raises
    ------
    InvalidParameter
        A quality is not a number.
    """
    if not accept.strip():
        return offered[0]
    wishes = [_wish(part) for part in accept.split(",") if part.strip()]
    refused = {media_type for media_type, quality in wishes if quality <= 0}
    left = [image_format for image_format in offered if MEDIA_TYPES[image_format] not in refused]
    for media_type, quality in sorted(wishes, key=lambda wish: -wish[1]):
        if quality <= 0:
            break
        for image_format in left:
            if media_type in (MEDIA_TYPES[image_format], "image/*", "*/*"):
                return image_format
    return None


def _wish(part: str) -> tuple[str, float]:
    media_type, *options = (text.strip().lower() for text in part.split(";"))
    quality = 1.0
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            quality = _quality(value.strip())
    return media_type, quality


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError as error:
        raise InvalidParameter("a quality of the Accept header is not a number") from error
    if not 0 <= quality <= 1:
        raise InvalidParameter("a quality of the Accept header is not between 0 and 1")
    return quality

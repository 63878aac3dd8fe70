"""Answers as Orthanc sends them: every one of them has a content type (reference 1.9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

JSON_TYPE: Final = "application/json; charset=utf-8"


def encode_json(value: Any) -> bytes:
    """Encode a value as JSON with sorted keys, indented as people like to read it."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def json_answer(value: Any, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON document."""
    return Response(encode_json(value), headers=headers, media_type=JSON_TYPE)


def action_answer(*, headers: Mapping[str, str] | None = None) -> Response:
    """Answer an action that has no result, with the constant ``{}`` and its shorter type."""
    return Response(b"{}", headers=headers, media_type="application/json")


def empty_answer(*, headers: Mapping[str, str] | None = None) -> Response:
    """Answer 200 with nothing: a text of no length, because clients read the content type."""
    return text_answer("", headers=headers)


def text_answer(text: str | bytes, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a plain text; bytes go out unchanged."""
    # Set by hand: Starlette would add a charset to every text, and Orthanc has none here.
    body = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return Response(body, headers={**(headers or {}), "Content-Type": "text/plain"})

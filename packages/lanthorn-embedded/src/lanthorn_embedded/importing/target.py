"""The running Lanthorn that an import fills, over its REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson

from lanthorn_core.model import LEVELS, Level
from lanthorn_embedded.errors import ConfigurationError
from lanthorn_embedded.importing.content import IN_MEMORY_BYTES, Content
from lanthorn_embedded.importing.levels import path_of
from lanthorn_embedded.importing.server_client import (
    RequestRefused,
    ServerAddress,
    ServerClient,
)

MOST_AT_ONCE: Final = 500
"""Resources in one question or telling."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What the target shall know of a resource that it has; see its `/lanthorn` routes."""

    level: Level
    public_id: str
    history: Mapping[str, str] = field(default_factory=dict)
    changed_at: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    is_protected: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as the route reads it."""
        return {
            "Level": self.level,
            "ID": self.public_id,
            "History": self.history,
            "ChangedAt": self.changed_at,
            "Metadata": self.metadata,
            "Labels": self.labels,
            "IsProtected": self.is_protected,
        }


@asynccontextmanager
async def open_target(address: ServerAddress, in_flight: int) -> AsyncIterator[Lanthorn]:
    """Connect to a running Lanthorn.

    Raises
    ------
    ServerUnavailable, AccessDenied
        It does not answer, or not to this user.
    ConfigurationError
        It is another server, an older version, or `ReadOnly`.
    """
    client = ServerClient(address, in_flight + 2)
    try:
        try:
            await client.post_json("/lanthorn/imported-resources", b"[]")
        except RequestRefused as exc:
            raise ConfigurationError(
                f"{address.url} takes no imports: it is no Lanthorn, an older one, or ReadOnly"
            ) from exc
        system = await client.get_json("/system")
        yield Lanthorn(client, system.get("UserMetadata", {}))
    finally:
        await client.close()


class Lanthorn:
    """A running Lanthorn; raises `ServerUnavailable` and `RequestRefused` throughout.

    Parameters
    ----------
    client : ServerClient
        Of the server.
    user_metadata : mapping
        Its option `UserMetadata`.
    """

    def __init__(self, client: ServerClient, user_metadata: Mapping[str, int]) -> None:
        self._client = client
        self._user_metadata = user_metadata

    @property
    def name(self) -> str:
        """The address."""
        return self._client.url

    def metadata_number(self, name: int | str) -> int | None:
        """Return the number of a user metadata; None when nobody knows it."""
        return name if isinstance(name, int) else self._user_metadata.get(name)

    async def stored(self, level: Level, ids: Sequence[str]) -> dict[str, int]:
        """Return which of these resources it has, with the sizes of their files in bytes."""
        answer: dict[str, int] = {}
        for first in range(0, len(ids), MOST_AT_ONCE):
            body = {"Level": level, "Resources": ids[first : first + MOST_AT_ONCE]}
            answer |= await self._client.post_json("/lanthorn/stored-resources", orjson.dumps(body))
        return answer

    async def store(self, content: Content) -> str:
        """Store a DICOM file; returns the public identifier of its instance."""
        answer = await self._client.upload("POST", "/instances", content.size_bytes, _body(content))
        return str(orjson.loads(answer)["ID"])

    async def md5_of(self, instance: str) -> str:
        """Read the MD5 of a stored file, from its bytes."""
        path = f"{path_of(Level.INSTANCE, instance)}/attachments/dicom"
        try:
            return (await self._client.get_bytes(f"{path}/md5")).decode("ascii", "replace")
        except RequestRefused as exc:
            if exc.status != HTTPStatus.NOT_FOUND:
                raise
        with await self._client.download(f"{path}/data") as content:
            return content.md5

    async def has_attachment(self, level: Level, public_id: str, number: int | str) -> bool:
        """Tell whether users attached something under this number already."""
        try:
            await self._client.get_bytes(f"{_attachment_path(level, public_id, number)}/size")
        except RequestRefused as exc:
            if exc.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
                return False
            raise
        return True

    async def attach(
        self, level: Level, public_id: str, number: int | str, content: Content
    ) -> None:
        """Attach a file to a resource."""
        path = _attachment_path(level, public_id, number)
        await self._client.upload("PUT", path, content.size_bytes, _body(content))

    async def tell(self, tellings: Sequence[Telling]) -> set[tuple[Level, str]]:
        """Add what the source knew; returns the resources that are not there."""
        body = orjson.dumps([telling.document() for telling in tellings])
        unknown = await self._client.post_json("/lanthorn/imported-resources", body)
        return {(level, public_id) for level in LEVELS for public_id in unknown[level]}

    async def modality_names(self) -> set[str]:
        """Name the remote AEs that it knows."""
        return set(await self._client.get_json("/modalities"))

    async def peer_names(self) -> set[str]:
        """Name the peers of its configuration."""
        return set(await self._client.get_json("/peers"))

    async def add_modality(self, name: str, description: Any) -> None:
        """Make a remote AE known."""
        body = orjson.dumps(description)
        await self._client.upload("PUT", f"/modalities/{quote(name, safe='')}", len(body), body)


def _attachment_path(level: Level, public_id: str, number: int | str) -> str:
    return f"{path_of(level, public_id)}/attachments/{quote(str(number), safe='')}"


def _body(content: Content) -> Any:
    """Send a small file in one piece, a large one as it is read."""
    if content.size_bytes <= IN_MEMORY_BYTES:
        return b"".join(content.pieces())
    return content.stream

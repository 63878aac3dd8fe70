"""A running Orthanc over its REST API; see `Source`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson

from lanthorn_core.model import Level
from lanthorn_embedded.importing.content import Content
from lanthorn_embedded.importing.levels import PLURALS, path_of
from lanthorn_embedded.importing.server_client import RequestRefused, ServerAddress, ServerClient
from lanthorn_embedded.importing.source import (
    METADATA_NUMBERS,
    SourceAttachment,
    SourceResource,
    Totals,
    UnreadableFile,
)

PAGE: Final = 500
_PARTS: Final = ["Attachments", "IsProtected", "Labels", "Metadata"]
_ATTACHMENT_NUMBERS: Final = {"dicom": 1, "dicom-as-json": 2, "dicom-until-pixel-data": 3}
_HISTORY: Final = frozenset(METADATA_NUMBERS.values())
_SYSTEM_METADATA: Final = _HISTORY | {
    "ExpectedNumberOfInstances",
    "IndexInSeries",
    "MainDicomSequences",
    "MainDicomTagsSignature",
    "PixelDataOffset",
    "PixelDataVR",
    "SopClassUid",
    "TransferSyntax",
}


@asynccontextmanager
async def open_rest_source(address: ServerAddress, in_flight: int) -> AsyncIterator[OrthancRest]:
    """Connect to a running Orthanc.

    Raises
    ------
    ServerUnavailable, AccessDenied
        It does not answer, or not to this user.
    """
    client = ServerClient(address, in_flight + 2)
    try:
        system = await client.get_json("/system")
        yield OrthancRest(client, system, in_flight)
    finally:
        await client.close()


class OrthancRest:
    """See `Source` for the contract.

    Parameters
    ----------
    client : ServerClient
        Of the server.
    system : mapping
        Its answer to ``/system``.
    in_flight : int
        How many resources are asked for at a time where each needs requests of its own.
    """

    def __init__(self, client: ServerClient, system: Mapping[str, Any], in_flight: int) -> None:
        self._client = client
        self._in_flight = in_flight
        # Since 1.12.5: everything about many resources in one answer.
        self._has_find = bool(system.get("Capabilities", {}).get("HasExtendedFind"))
        self._has_labels = bool(system.get("HasLabels"))
        self._user_numbers: Mapping[str, int] = system.get("UserMetadata", {})

    @property
    def name(self) -> str:
        """The address."""
        return self._client.url

    async def totals(self) -> Totals:
        """Count what is there now."""
        answer = await self._client.get_json("/statistics")
        names = {
            Level.PATIENT: "CountPatients",
            Level.STUDY: "CountStudies",
            Level.SERIES: "CountSeries",
            Level.INSTANCE: "CountInstances",
        }
        counts = {level: int(answer[name]) for level, name in names.items()}
        return Totals(counts, int(answer["TotalUncompressedSize"]))

    async def pages(self, level: Level) -> AsyncIterator[Sequence[SourceResource]]:
        """Give all resources of a level; instances come series by series."""
        if level is not Level.INSTANCE:
            listed = self._found(level) if self._has_find else self._asked_for_one_by_one(level)
            async for page in listed:
                yield page
            return
        page = []
        async for series in self._ids(Level.SERIES):
            for public_id in series:
                page += await self._instances_of(public_id)
                if len(page) >= PAGE:
                    yield page
                    page = []
        yield page

    async def _instances_of(self, series: str) -> list[SourceResource]:
        if self._has_find:
            return await self._find(Level.INSTANCE, ParentSeries=series)
        answer = await self._client.get_json(path_of(Level.SERIES, series))
        return await self._ask_for_each(Level.INSTANCE, answer["Instances"])

    async def _found(self, level: Level) -> AsyncIterator[list[SourceResource]]:
        since = 0
        while page := await self._find(level, Since=since, Limit=PAGE):
            yield page
            since += len(page)

    async def _find(self, level: Level, **window: str | int) -> list[SourceResource]:
        body: dict[str, Any] = {"Level": level, "Query": {}, "ResponseContent": _PARTS, **window}
        found = await self._client.post_json("/tools/find", orjson.dumps(body))
        return [await self._resource(level, answer) for answer in found]

    async def _ids(self, level: Level) -> AsyncIterator[list[str]]:
        since = 0
        while ids := await self._client.get_json(f"/{PLURALS[level]}", since=since, limit=PAGE):
            yield ids
            since += len(ids)

    async def _asked_for_one_by_one(self, level: Level) -> AsyncIterator[list[SourceResource]]:
        async for ids in self._ids(level):
            yield await self._ask_for_each(level, ids)

    async def _ask_for_each(self, level: Level, ids: Sequence[str]) -> list[SourceResource]:
        places = asyncio.Semaphore(self._in_flight)

        async def ask(public_id: str) -> SourceResource:
            async with places:
                return await self._resource(level, await self._description(level, public_id))

        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(public_id), name="describe") for public_id in ids]
        return [task.result() for task in asking]

    async def _description(self, level: Level, public_id: str) -> dict[str, Any]:
        """Put together what newer releases tell in one answer."""
        path = path_of(level, public_id)
        answer: dict[str, Any] = {
            "ID": public_id,
            "Metadata": await self._client.get_json(f"{path}/metadata?expand"),
            "Attachments": [
                {"ContentType": _ATTACHMENT_NUMBERS.get(name, name)}
                for name in await self._client.get_json(f"{path}/attachments")
            ],
        }
        if self._has_labels:
            answer["Labels"] = await self._client.get_json(f"{path}/labels")
        if level is Level.PATIENT:
            answer["IsProtected"] = await self._client.get_bytes(f"{path}/protected") == b"1"
        return answer

    async def _resource(self, level: Level, answer: Mapping[str, Any]) -> SourceResource:
        public_id = answer["ID"]
        metadata: Mapping[str, str] = answer["Metadata"]
        return SourceResource(
            level,
            public_id,
            history={name: value for name, value in metadata.items() if name in _HISTORY},
            metadata={
                self._number(name): await self._value(level, public_id, name)
                for name in metadata
                if name not in _SYSTEM_METADATA
            },
            labels=answer.get("Labels", ()),
            attachments=[_attachment(item) for item in answer["Attachments"]],
            is_protected=bool(answer.get("IsProtected")),
        )

    def _number(self, name: str) -> int | str:
        if name in self._user_numbers:
            return self._user_numbers[name]
        return int(name) if name.isdecimal() else name

    async def _value(self, level: Level, public_id: str, name: str) -> bytes:
        """Ask for the bytes: in a JSON document they would be a text, and end at a zero byte."""
        return await self._client.get_bytes(f"{path_of(level, public_id)}/metadata/{quote(name)}")

    async def read(self, resource: SourceResource, attachment: SourceAttachment) -> Content:
        """Read a file over HTTP."""
        base = path_of(resource.level, resource.public_id)
        path = f"{base}/attachments/{quote(str(attachment.number))}"
        try:
            md5 = attachment.md5 or await self._md5(path)
            content = await self._client.download(f"{path}/data")
        except RequestRefused as exc:
            raise UnreadableFile(str(exc)) from exc
        if md5 and content.md5 != md5:
            with content:
                raise UnreadableFile(f"{path} came with the MD5 {content.md5}, not {md5}")
        return content

    async def _md5(self, path: str) -> str:
        try:
            return (await self._client.get_bytes(f"{path}/md5")).decode("ascii", "replace")
        except RequestRefused as exc:
            if exc.status == HTTPStatus.NOT_FOUND:  # `StoreMD5ForAttachments` is off
                return ""
            raise

    async def modalities(self) -> Mapping[str, Any]:
        """Give all remote AEs that it knows, those of its configuration included."""
        answer: Mapping[str, Any] = await self._client.get_json("/modalities?expand")
        return answer

    async def peer_names(self) -> Sequence[str]:
        """Name all peers that it knows, those of its configuration included."""
        answer: Sequence[str] = await self._client.get_json("/peers")
        return answer


def _attachment(item: Mapping[str, Any]) -> SourceAttachment:
    return SourceAttachment(
        item["ContentType"], item.get("UncompressedSize", 0), item.get("UncompressedMD5", "")
    )

"""Events that the indexer gave up on, over HTTP and a real stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lanthorn_core.events import InstanceStored
from lanthorn_core.model import Origin
from lanthorn_core.ports.bus import Delivery, StreamPosition
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

PARKED = "/lanthorn/parked-events"


@pytest.fixture(autouse=True)
def indexer_gives_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Park what fails twice."""
    monkeypatch.setattr("lanthorn_core.adapters.bus_nats.retries.RETRY_DELAYS_S", ())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the indexer acts


async def parked_events(rest_api: RestApi, *, at_least: int) -> list[Any]:
    """List the parked events once there are so many."""
    found: list[Any] = []

    async def are_enough() -> bool:
        found[:] = await rest_api.get(PARKED)
        return len(found) >= at_least

    await until(are_enough)
    return found


async def announce(rest_api: RestApi, key: str, size_bytes: int) -> None:
    """Publish the event of an object as a sweep does: without its header."""
    event = InstanceStored(
        object_key=key,
        size_bytes=size_bytes,
        sha256="",
        transfer_syntax_uid="",
        received_at=0.0,
        origin=Origin(),
    )
    await rest_api.system.publish(event, key)


async def test_parked_events_are_listed_with_their_errors_and_objects(rest_api: RestApi) -> None:
    assert await rest_api.get(PARKED) == []
    key = object_key(new_receipt_id())
    await rest_api.system.objects.put(key, [b"no DICOM file"])
    await announce(rest_api, key, 13)
    await parked_events(rest_api, at_least=1)
    position = StreamPosition("", 7)
    await rest_api.system.bus.retries.set_aside(Delivery(position, b"no event"), "odd")
    first, second = await parked_events(rest_api, at_least=2)
    assert first.keys() == {"Number", "Error", "Sequence", "ObjectKey"}
    assert (first["ObjectKey"], first["Sequence"]) == (key, 1)
    assert first["Error"].startswith("InvalidDataset: ")
    assert (second["ObjectKey"], second["Sequence"]) == (None, 7)
    assert first["Number"] < second["Number"]


async def test_a_parked_event_that_succeeds_at_last_is_indexed_and_gone(rest_api: RestApi) -> None:
    key, data = object_key(new_receipt_id()), ct_file(PatientID="late")
    objects = rest_api.system.objects
    await objects.put(key, [b"no DICOM file"])
    await announce(rest_api, key, len(data))
    [parked] = await parked_events(rest_api, at_least=1)
    await objects.delete(key)
    await objects.put(key, [data])
    answer = await rest_api.client.post(f"{PARKED}/{parked['Number']}/retry")
    assert (answer.status_code, answer.json()) == (200, {})

    async def is_indexed() -> bool:
        return bool((await rest_api.client.post("/tools/lookup", content="late")).json())

    await until(is_indexed)
    assert await rest_api.get(PARKED) == []


async def test_a_parked_event_that_fails_again_is_parked_again(rest_api: RestApi) -> None:
    position = StreamPosition("", 7)
    await rest_api.system.bus.retries.set_aside(Delivery(position, b"no event"), "odd")
    [parked] = await parked_events(rest_api, at_least=1)
    answer = await rest_api.client.post(f"{PARKED}/{parked['Number']}/retry")
    assert answer.status_code == 200
    [again] = await parked_events(rest_api, at_least=1)
    assert again["Number"] > parked["Number"]
    assert again | {"Number": 0} == parked | {"Number": 0}


async def test_what_is_not_parked_cannot_be_tried_again(rest_api: RestApi) -> None:
    answer = await rest_api.client.post(f"{PARKED}/3/retry")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/unknown-resource",
        "title": "Unknown resource",
        "status": 404,
        "detail": "There is no parked event 3",
    }


@pytest.mark.parametrize("path", [f"{PARKED}/x/retry", f"{PARKED}/3", "/lanthorn/nothing"])
async def test_unknown_paths_of_ours_are_problems_too(rest_api: RestApi, path: str) -> None:
    answer = await rest_api.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unknown-resource"


async def test_a_server_that_changes_nothing_tries_no_event_again(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(READ_ONLY="true")
    assert await rest_api.get(PARKED) == []
    assert (await rest_api.client.post(f"{PARKED}/3/retry")).status_code == 404

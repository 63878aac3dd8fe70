"""How an upload learns what became of it: from the indexer's announcement, or from the index."""

from __future__ import annotations

import pytest

from lanthorn_core.adapters.bus_nats.signals import NatsIndexSignals
from lanthorn_core.ports.bus import Applied, StreamPosition
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.index import System
from tests.fixtures.rest_api import RestApi


async def status(rest_api: RestApi, body: bytes) -> str:
    answer = await rest_api.client.post("/instances", content=body)
    assert answer.status_code == 200, answer.text
    assert "warning" not in answer.headers
    return str(answer.json()["Status"])


async def statuses(rest_api: RestApi) -> list[str]:
    one, other = ct_file(), ct_file()
    return [await status(rest_api, body) for body in (one, one, other, one)]


async def test_what_is_announced_tells_new_from_known(rest_api: RestApi) -> None:
    assert await statuses(rest_api) == ["Success", "AlreadyStored", "Success", "AlreadyStored"]


async def test_an_upload_does_without_announcements(
    rest_api: RestApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(_self: NatsIndexSignals, _applied: Applied) -> None:
        pass

    monkeypatch.setattr(NatsIndexSignals, "announce", say_nothing)
    assert await statuses(rest_api) == ["Success", "AlreadyStored", "Success", "AlreadyStored"]


async def test_an_upload_does_without_being_heard(
    rest_api: RestApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(_self: NatsIndexSignals, _position: StreamPosition) -> None:
        pass

    monkeypatch.setattr(NatsIndexSignals, "ask", say_nothing)
    assert await statuses(rest_api) == ["Success", "AlreadyStored", "Success", "AlreadyStored"]


async def test_what_is_announced_counts_on_the_database_that_is_asked_only(
    system: System,
) -> None:
    receipt = await system.store(ct_file())
    stored = {receipt.public_ids.instance: receipt.object_key, "another": "key"}
    # An indexer that worked on another database than this reader's, and has come much farther.
    far = StreamPosition(receipt.position.epoch, receipt.position.sequence + 100)
    await system.bus.signals.announce(Applied(far, far.sequence))
    found, is_current = await system.reader.objects_at(receipt.position, stored)
    assert is_current
    assert found == {receipt.public_ids.instance: receipt.object_key}


async def test_a_place_in_a_stream_that_is_gone_is_not_waited_for(system: System) -> None:
    receipt = await system.store(ct_file())
    stored = {receipt.public_ids.instance: receipt.object_key, "another": "key"}
    gone = StreamPosition("an earlier one", 5000)
    found, is_current = await system.reader.objects_at(gone, stored)
    assert is_current
    assert found == {receipt.public_ids.instance: receipt.object_key}

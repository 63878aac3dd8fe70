"""What an operator sees of a running system: traces from end to end, figures of the whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client.parser import text_string_to_metric_families

from lanthorn_core.events import InstanceStored
from lanthorn_core.model import Origin
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.rest_api import RestApi
from tests.fixtures.traces import recorded_spans
from tests.fixtures.whole_system import WholeSystem


def send(port: int, file: bytes) -> int:
    template = make_ct()
    contexts = [(template.SOPClassUID, template.file_meta.TransferSyntaxUID)]
    with Sender("127.0.0.1", port, contexts) as sender:
        return sender.store(EncodedInstance.of_file(file))


def named(spans: tuple[ReadableSpan, ...], name: str) -> ReadableSpan:
    (found,) = (span for span in spans if span.name == name)
    return found


def is_among(spans: tuple[ReadableSpan, ...], name: str) -> bool:
    return any(span.name == name for span in spans)


async def figures(rest_api: RestApi) -> dict[str, float]:
    answer = await rest_api.client.get("/metrics")
    assert answer.status_code == 200
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_a_store_is_followed_from_the_association_through_nats_into_the_index(
    whole_system: WholeSystem,
) -> None:
    with recorded_spans() as recorder:
        file = as_file(make_ct(PatientID="TRACED"))
        assert await asyncio.to_thread(send, whole_system.dicom_port, file) == 0
        assert await whole_system.rest.get("/patients")
        # What was committed can be found; the span of the batch ends a moment later.
        async with asyncio.timeout(20):
            while not is_among(spans := recorder.get_finished_spans(), "index batch"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    store, put, publish = (named(spans, name) for name in ("C-STORE", "object put", "publish"))
    batch = named(spans, "index batch")
    assert store.parent is None
    assert {span.parent.span_id for span in (put, publish) if span.parent} == {
        store.context.span_id
    }
    assert [link.context.span_id for link in batch.links] == [publish.context.span_id]
    asked = [span for span in spans if span.name == "HTTP GET"]
    assert [dict(span.attributes or {})["http.route"] for span in asked] == ["/{level:level}"]
    written = " ".join(str(dict(span.attributes or {})) for span in spans)
    assert "TRACED" not in written


@pytest.fixture
async def without_indexer(make_rest_api: Any) -> RestApi:
    made: RestApi = await make_rest_api(indexing=False)
    return made


async def test_the_lag_of_the_index_is_told_without_an_indexer(without_indexer: RestApi) -> None:
    before = await figures(without_indexer)
    assert (before["lanthorn_index_lag_events"], before["lanthorn_index_lag_seconds"]) == (0, 0)
    for number in range(3):
        await without_indexer.store(as_file(make_ct(PatientID=f"P{number}")))
    behind = await figures(without_indexer)
    assert behind["lanthorn_index_lag_events"] == 3
    assert behind["lanthorn_index_lag_seconds"] > 0
    async with without_indexer.system.indexer():
        assert await without_indexer.system.reader.wait_until_current()
        after = await figures(without_indexer)
    assert (after["lanthorn_index_lag_events"], after["lanthorn_index_lag_seconds"]) == (0, 0)
    assert after["lanthorn_resources Instance"] == 3
    assert after["lanthorn_resources_bytes"] > 0


async def test_events_that_failed_and_jobs_are_told_by_what_is_to_come_of_them(
    rest_api: RestApi,
) -> None:
    broken = InstanceStored(
        object_key="instances/v1/2026/01/01/00/none.dcm",
        size_bytes=1,
        sha256="",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        received_at=0.0,
        origin=Origin(),
        header=b"no data set",
    )
    await rest_api.system.publish(broken, "broken")
    assert await rest_api.system.reader.wait_until_current()
    await rest_api.store(as_file(make_ct()))
    assert await rest_api.system.reader.wait_until_current()
    [study] = await rest_api.get("/studies")
    await rest_api.client.put("/modalities/there", json=["THERE", "127.0.0.1", 104])
    # No gateway is there to run it.
    await rest_api.post("/modalities/there/store", {"Resources": [study], "Asynchronous": True})
    told = await figures(rest_api)
    assert told["lanthorn_retrying_events"] == 1
    assert told["lanthorn_parked_events"] == 0
    assert {name for name in told if name.startswith("lanthorn_jobs ")} == {
        "lanthorn_jobs Pending DicomModalityStore"
    }

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from lanthorn_core.adapters.worklist_files import WorklistFolder
from lanthorn_core.dicom.encodings import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.dicom.part10 import encode_file_meta
from lanthorn_core.usecases.worklists import WorklistRules, Worklists
from tests.fixtures.worklist_files import make_query, make_step, make_worklist


class CountingFolder(WorklistFolder):
    reads = 0

    async def read(self, worklist_id: str) -> bytes:
        self.reads += 1
        return await super().read(worklist_id)


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[CountingFolder]:
    async with CountingFolder(tmp_path) as folder:
        yield folder


async def names(worklists: Worklists, query: Any = None, ae_title: str = "ANY") -> list[str]:
    found = worklists.find(query or make_query(), ae_title, is_cancelled=lambda: False)
    return [str(answer.PatientName) async for answer, _ in found]


async def test_files_that_come_and_go_are_seen_at_once(
    folder: CountingFolder, tmp_path: Path
) -> None:
    worklists = Worklists(folder, WorklistRules())
    assert await names(worklists) == []
    (tmp_path / "a.wl").write_bytes(make_worklist(PatientName="A"))
    (tmp_path / "b.wl").write_bytes(make_worklist(PatientName="B"))
    assert await names(worklists) == ["A", "B"]
    (tmp_path / "a.wl").write_bytes(make_worklist(PatientName="Changed"))
    (tmp_path / "b.wl").unlink()
    assert await names(worklists) == ["Changed"]


async def test_a_file_is_read_once_while_it_does_not_change(
    folder: CountingFolder, tmp_path: Path
) -> None:
    (tmp_path / "a.wl").write_bytes(make_worklist())
    worklists = Worklists(folder, WorklistRules())
    for _ in range(3):
        assert await names(worklists) == ["Doe^John"]
    assert folder.reads == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"hello" * 100,
        make_worklist()[:-7],
        encode_file_meta(
            sop_class_uid="1.2",
            sop_instance_uid="1.3",
            transfer_syntax_uid=DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        )
        + b"\xff" * 50,
    ],
)
async def test_a_broken_file_is_passed_over_with_one_warning(
    folder: CountingFolder, tmp_path: Path, broken: bytes
) -> None:
    (tmp_path / "a.wl").write_bytes(broken)
    (tmp_path / "b.wl").write_bytes(make_worklist(PatientName="B"))
    worklists = Worklists(folder, WorklistRules())
    with capture_logs() as logs:
        assert await names(worklists) == ["B"]
        assert await names(worklists) == ["B"]
    assert [(log["event"], log["worklist_id"]) for log in logs] == [("worklist_skipped", "a")]
    (tmp_path / "a.wl").write_bytes(make_worklist(PatientName="A"))
    assert await names(worklists) == ["A", "B"]


async def test_a_small_file_that_inflates_without_end_is_passed_over(
    folder: CountingFolder, tmp_path: Path
) -> None:
    compress = zlib.compressobj(wbits=-15)
    element = b"\x09\x00\x10\x10UN\x00\x00" + (64 << 20).to_bytes(4, "little")
    meta = encode_file_meta(
        sop_class_uid="1.2",
        sop_instance_uid="1.3",
        transfer_syntax_uid=DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    )
    bomb = compress.compress(element + bytes(64 << 20)) + compress.flush()
    (tmp_path / "bomb.wl").write_bytes(meta + bomb)
    assert await names(Worklists(folder, WorklistRules())) == []


async def test_a_modality_sees_its_own_steps_only(folder: CountingFolder, tmp_path: Path) -> None:
    (tmp_path / "a.wl").write_bytes(
        make_worklist(
            make_step(), make_step(Modality="MR", ScheduledStationAETitle="MR1"), PatientName="A"
        )
    )
    (tmp_path / "b.wl").write_bytes(make_worklist(PatientName="B"))
    worklists = Worklists(folder, WorklistRules(filter_issuer_aet=True))
    assert await names(worklists, ae_title="CT1") == ["A", "B"]
    assert await names(worklists, ae_title="mr1 ") == ["A"]
    assert await names(worklists, ae_title="*") == []
    found = worklists.find(make_query(), "MR1", is_cancelled=lambda: False)
    (answer,) = [answer async for answer, _ in found]
    assert [step.Modality for step in answer.ScheduledProcedureStepSequence] == ["MR"]
    query = make_query(("ScheduledStationAETitle", "CT1"))
    assert await names(worklists, query, ae_title="MR1") == []


async def test_a_cancelled_query_stops(folder: CountingFolder, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.wl").write_bytes(make_worklist(PatientName=str(number)))
    worklists = Worklists(folder, WorklistRules())
    found: list[Any] = []
    async for answer, _ in worklists.find(make_query(), "X", is_cancelled=lambda: len(found) > 1):
        found.append(answer)
    assert len(found) == 2


async def test_answers_prefer_the_default_encoding_then_that_of_the_item(
    folder: CountingFolder, tmp_path: Path
) -> None:
    (tmp_path / "a.wl").write_bytes(make_worklist(character_set="ISO_IR 144"))
    worklists = Worklists(folder, WorklistRules(default_encoding="Latin1"))
    found = worklists.find(make_query(), "X", is_cancelled=lambda: False)
    assert [sets async for _, sets in found] == [(("ISO_IR 100",), ("ISO_IR 144",))]


async def test_items_made_here_are_told_from_those_of_others(
    folder: CountingFolder, tmp_path: Path
) -> None:
    (tmp_path / "theirs.wl").write_bytes(make_worklist())
    worklists = Worklists(folder, WorklistRules())
    ours = await worklists.create(make_query(PatientName="Müller"))
    made = {item.entry.worklist_id: item.is_ours async for item in worklists.all()}
    assert made == {"theirs": False, ours: True}
    assert (await worklists.get(ours)).character_set == ("ISO_IR 192",)
    await worklists.delete(ours)
    assert [item.entry.worklist_id async for item in worklists.all()] == ["theirs"]


async def test_queries_at_the_same_time_see_the_same(
    folder: CountingFolder, tmp_path: Path
) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.wl").write_bytes(make_worklist(PatientName=f"N{number:02}"))
    worklists = Worklists(folder, WorklistRules())
    found = await asyncio.gather(*(names(worklists) for _ in range(5)))
    assert found == [[f"N{number:02}" for number in range(20)]] * 5
    for number in range(20):
        (tmp_path / f"{number:02}.wl").unlink()
    assert await names(worklists) == []
    assert worklists._remembered_bytes == 0

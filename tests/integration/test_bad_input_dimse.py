"""C-STORE of what cannot be kept, and callers who have the wrong number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from lanthorn_core.dicom.part10 import read_file_meta
from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.hostile_files import (
    GIBIBYTE,
    PIXEL_DATA,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    dataset,
    deflate_bomb,
    element,
    nested_sequences,
    text,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS, rejection_of
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up
from tests.fixtures.unharmed import ask_json, growth_below, unharmed

pytestmark = SURPRISED_THREADS

SUCCESS, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA900, 0xC000  # PS3.4 Table B.2-1
ENCAPSULATED_DOCUMENT = 0x0042_0011
UID = "1.2.826.0.1.3680043.8.498.1"
CT, EXPLICIT = str(CTImageStorage), str(ExplicitVRLittleEndian)
DEFLATED = str(DeflatedExplicitVRLittleEndian)
ON_DISK_BYTES = 2 << 20
"""The gateway keeps so large an object in its spool folder."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("bad")
    options = {"DicomCheckCalledAet": True, "Lanthorn": {"GatewayProcesses": 1}}
    with lanthorn_up(folder, options) as running:
        yield running


def connect(
    system: RunningLanthorn, transfer_syntax_uid: str = EXPLICIT, called_ae_title: str = "LANTHORN"
) -> Sender:
    return Sender(
        "127.0.0.1",
        system.dicom_port,
        [(CT, transfer_syntax_uid)],
        called_ae_title=called_ae_title,
    )


def pixels(size_bytes: int) -> bytes:
    return element(PIXEL_DATA, b"OW", bytes(size_bytes))


def named(*more: bytes, without: int | None = None) -> bytes:
    return dataset(*more, sop_instance_uid=UID, without=() if without is None else {without})


REFUSED: dict[str, tuple[Callable[[int], bytes], int]] = {
    "no DICOM": (lambda size: b"<html>not DICOM</html>" + bytes(size), CANNOT_UNDERSTAND),
    "zeros": (lambda size: bytes(200 + size), CANNOT_UNDERSTAND),
    "truncated pixels": (lambda size: named(pixels(size + 200))[:-1], CANNOT_UNDERSTAND),
    "half of a header": (lambda size: named(pixels(size)) + b"\xfc\xff\xfc", CANNOT_UNDERSTAND),
    "three gigabytes in an element": (
        lambda size: named(
            element(ENCAPSULATED_DOCUMENT, b"OB", bytes(600 + size), length=3 * GIBIBYTE)
        ),
        CANNOT_UNDERSTAND,
    ),
    "three gigabytes in the pixels": (
        lambda size: named(element(PIXEL_DATA, b"OW", bytes(600 + size), length=3 * GIBIBYTE)),
        CANNOT_UNDERSTAND,
    ),
    "nested items of undefined length": (
        lambda size: named(nested_sequences(1000, undefined_length=True), pixels(size)),
        CANNOT_UNDERSTAND,
    ),
    "nested items with lengths": (
        lambda size: named(nested_sequences(1000, undefined_length=False), pixels(size)),
        CANNOT_UNDERSTAND,
    ),
    "no VR": (
        lambda size: named(element(0x0010_4000, b"\0\0", b"abcd"), pixels(size)),
        CANNOT_UNDERSTAND,
    ),
    "no instance": (
        lambda size: named(pixels(size), without=SOP_INSTANCE_UID),
        CANNOT_UNDERSTAND,
    ),
    "no study": (lambda size: named(pixels(size), without=STUDY_INSTANCE_UID), CANNOT_UNDERSTAND),
    "no series": (
        lambda size: named(pixels(size), without=SERIES_INSTANCE_UID),
        CANNOT_UNDERSTAND,
    ),
    "no class": (lambda size: named(pixels(size), without=SOP_CLASS_UID), MISMATCH),
    "another instance": (lambda size: dataset(pixels(size)), MISMATCH),
    "another class": (
        lambda size: (
            text(SOP_CLASS_UID, b"UI", MRImageStorage) + named(pixels(size), without=SOP_CLASS_UID)
        ),
        MISMATCH,
    ),
}


@pytest.mark.parametrize("size_bytes", [0, ON_DISK_BYTES], ids=["small", "large"])
def test_what_cannot_be_kept_is_refused_and_the_association_goes_on(
    system: RunningLanthorn, size_bytes: int
) -> None:
    with unharmed(system), connect(system) as sender:
        for name, (make, status) in REFUSED.items():
            instance = EncodedInstance(CT, UID, EXPLICIT, make(size_bytes))
            assert sender.store(instance) == status, name


def test_after_all_that_the_same_association_stores(system: RunningLanthorn) -> None:
    before = ask_json(system, "/statistics")["CountInstances"]
    good = EncodedInstance(CT, UID, EXPLICIT, named(pixels(200)))
    bad = EncodedInstance(CT, UID, EXPLICIT, good.dataset[:-1])
    with connect(system) as sender:
        assert [sender.store(each) for each in (bad, good, bad)] == [
            CANNOT_UNDERSTAND,
            SUCCESS,
            CANNOT_UNDERSTAND,
        ]
    assert ask_json(system, "/statistics")["CountInstances"] == before + 1


@pytest.mark.parametrize(
    ("tag", "vr", "inflated_bytes"),
    [(ENCAPSULATED_DOCUMENT, b"OB", 2 * GIBIBYTE), (PIXEL_DATA, b"OW", 3 * GIBIBYTE)],
    ids=["in an element", "in the pixels"],
)
def test_a_deflate_bomb_does_not_go_off(
    system: RunningLanthorn, tag: int, vr: bytes, inflated_bytes: int
) -> None:
    bomb = deflate_bomb(tag, vr, inflated_bytes)
    instance = EncodedInstance(CT, UID, DEFLATED, bomb[read_file_meta(bomb).dataset_offset :])
    with (
        unharmed(system),
        growth_below(system, GIBIBYTE // 2),
        connect(system, DEFLATED) as sender,
    ):
        assert sender.store(instance) == CANNOT_UNDERSTAND


@pytest.mark.parametrize("title", ["ANOTHER", "LANTHORN2", "L", "ANY-SCP"])
def test_who_calls_somebody_else_is_told_so(system: RunningLanthorn, title: str) -> None:
    caller = AE("SENDER")
    caller.add_requested_context(Verification)
    with unharmed(system):
        rejection = rejection_of(caller, system.dicom_port, called=title)
    # PS3.8 Table 9-21: rejected-permanent, by the service user, called-AE-title-not-recognized
    assert rejection == (1, 1, 7)


def test_case_and_padding_do_not_make_another_title(system: RunningLanthorn) -> None:
    instance = EncodedInstance(CT, "1.2.3.4", EXPLICIT, dataset(sop_instance_uid="1.2.3.4"))
    with connect(system, called_ae_title="  lanthorn ") as sender:
        assert sender.store(instance) == SUCCESS

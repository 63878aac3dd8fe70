"""PixelMed's clients, in Java: verification, storage, query and retrieve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import make_study, pixelmed, storescp
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance
SAMPLES = Path(__file__).parents[1] / "data" / "pydicom"

# FindSOPClassSCU has no arguments for keys: it always asks for the images of this series.
STUDY_ASKED_FOR = "1.2.840.113619.2.5.1762386977.1328.985934491.590"
SERIES_ASKED_FOR = "1.2.840.113619.2.5.1762386977.1328.985934491.643"


@dataclass(frozen=True)
class Asked:
    """A server that knows one receiver."""

    server: Server
    receiver_port: ReservedPort

    @property
    def address(self) -> tuple[str, str, str, str]:
        """The first arguments of every client: host, port, called and calling AE title."""
        return (*self.server.address, self.server.ae_title, "PIXELMED")


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    port = ReservedPort()
    with lanthorn(DicomModalities={"receiver": ["STORESCP", LOOPBACK, port.number]}) as server:
        yield Asked(server, port)


def test_verification(asked: Asked) -> None:
    done = pixelmed("VerificationSOPClassSCU", *asked.address, "NONSECURE")
    assert done.returncode == 0, done.output
    assert "was successful" in done.output


@pytest.mark.parametrize("sample", ["CT_small.dcm", "JPEG2000.dcm", "JPEG-LL.dcm"])
def test_storage_in_the_files_own_transfer_syntax(asked: Asked, sample: str) -> None:
    original = pydicom.dcmread(SAMPLES / sample)
    done = pixelmed("StorageSOPClassSCU", *asked.address, SAMPLES / sample)
    assert done.returncode == 0, done.output
    metadata = asked.server.metadata(original.SOPInstanceUID)
    assert metadata["TransferSyntax"] == original.file_meta.TransferSyntaxUID
    assert metadata["RemoteAET"] == "PIXELMED"


def test_find_gets_every_image_of_a_series(asked: Asked, tmp_path: Path) -> None:
    study = make_study(
        tmp_path,
        series=1,
        instances=3,
        StudyInstanceUID=STUDY_ASKED_FOR,
        SeriesInstanceUID=SERIES_ASKED_FOR,
    )
    asked.server.upload(*study.files)
    done = pixelmed("FindSOPClassSCU", *asked.address)
    assert done.returncode == 0, done.output
    for sop_instance_uid in study.sop_instance_uids:
        assert sop_instance_uid in done.output
    assert "xception" not in done.output


def test_move_of_a_series_to_a_third(asked: Asked, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    asked.server.upload(*study.files)
    with storescp(tmp_path / "got", port=asked.receiver_port) as receiver:
        done = pixelmed(
            "MoveSOPClassSCU", *asked.address, receiver.ae_title,
            "SERIES", study.study_instance_uid, study.series_instance_uids[0],
        )  # fmt: skip
        assert set(receiver.received) == {
            str(dataset.SOPInstanceUID) for dataset in study.datasets[:2]
        }
    assert "final status = 0x0" in done.output

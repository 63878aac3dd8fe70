"""C-ECHO and C-STORE by DCMTK's tools, as modalities send; the server's state is what counts."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset

from lanthorn_core.dicom.part10 import read_file_meta
from tests.fixtures.gateway import RunningGateway

pytestmark = pytest.mark.conformance

RunGateway = Callable[..., AbstractContextManager[RunningGateway]]
SAMPLES = Path(__file__).parents[1] / "data" / "pydicom"

# Option of storescu, sample, transfer syntax that crosses the wire.
TRANSFERS = [
    ("-xi", "CT_small.dcm", "1.2.840.10008.1.2"),
    ("-xe", "CT_small.dcm", "1.2.840.10008.1.2.1"),
    ("-xb", "MR_small_bigendian.dcm", "1.2.840.10008.1.2.2"),
    ("-xd", "CT_small.dcm", "1.2.840.10008.1.2.1.99"),
    ("-xs", "JPGLosslessP14SV1_1s_1f_8b.dcm", "1.2.840.10008.1.2.4.70"),
    ("-xy", "color-px.dcm", "1.2.840.10008.1.2.1"),
    ("-xx", "JPEG-lossy.dcm", "1.2.840.10008.1.2.4.51"),
    ("-xv", "emri_small_jpeg_2k_lossless.dcm", "1.2.840.10008.1.2.4.90"),
    ("-xw", "JPEG2000.dcm", "1.2.840.10008.1.2.4.91"),
    ("-xt", "emri_small_jpeg_ls_lossless.dcm", "1.2.840.10008.1.2.4.80"),
    ("-xr", "emri_small_RLE.dcm", "1.2.840.10008.1.2.5"),
]


def dcmtk(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = shutil.which(tool)
    if path is None:
        pytest.fail(f"{tool} is not installed")
    return subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def read(path: Path) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some samples are odd on purpose
        return pydicom.dcmread(path)


def test_echoscu_is_answered(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        sent = dcmtk("echoscu", "-v", "127.0.0.1", str(gateway.port))
    assert sent.returncode == 0
    assert "Received Echo Response (Success)" in sent.stderr + sent.stdout


def test_echoscu_with_the_wrong_called_ae_title_is_rejected(running_gateway: RunGateway) -> None:
    with running_gateway(DicomCheckCalledAet=True) as gateway:
        port = str(gateway.port)
        refused = dcmtk("echoscu", "-v", "-aec", "OTHER", "127.0.0.1", port)
        accepted = dcmtk("echoscu", "-v", "-aec", "Lanthorn", "127.0.0.1", port)
    assert refused.returncode != 0
    assert "Called AE Title Not Recognized" in refused.stderr + refused.stdout
    assert accepted.returncode == 0


def test_echoscu_proposing_128_contexts_is_answered(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        sent = dcmtk("echoscu", "-pts", "38", "-ppc", "128", "127.0.0.1", str(gateway.port))
    assert sent.returncode == 0


@pytest.mark.parametrize(
    ("option", "name", "transfer_syntax"),
    TRANSFERS,
)
def test_storescu_sends_in_every_transfer_syntax_it_knows(
    running_gateway: RunGateway, option: str, name: str, transfer_syntax: str
) -> None:
    with running_gateway() as gateway:
        sent = dcmtk("storescu", option, "-R", "127.0.0.1", str(gateway.port), str(SAMPLES / name))
        assert sent.returncode == 0, sent.stderr
        (path,) = gateway.stored_files
        stored, original = read(path), read(SAMPLES / name)
    assert stored.file_meta.TransferSyntaxUID == transfer_syntax
    assert stored.SOPInstanceUID == original.SOPInstanceUID
    assert stored.file_meta.SourceApplicationEntityTitle == "STORESCU"
    if transfer_syntax == original.file_meta.TransferSyntaxUID:
        assert stored.PixelData == original.PixelData


def test_dcmsend_sends_a_folder(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        arguments = ["-v", "-dn", "-nh", "-nuc", "+sd", "127.0.0.1", str(gateway.port)]
        sent = dcmtk("dcmsend", *arguments, str(SAMPLES))
        log = sent.stdout + sent.stderr
        stored = {
            (meta.media_storage_sop_instance_uid, meta.transfer_syntax_uid)
            for meta in (read_file_meta(path.read_bytes()) for path in gateway.stored_files)
        }
        assert gateway.spool_files == []
    assert log.count("Received C-STORE Response") >= 40
    assert log.count("Received C-STORE Response (Success)") == len(gateway.stored_files)
    assert len({transfer_syntax for _, transfer_syntax in stored}) >= 8


def test_storescu_sends_many_over_one_association(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        sent = dcmtk(
            "storescu",
            *("-xe", "-R", "--repeat", "20", "+II", "127.0.0.1", str(gateway.port)),
            str(SAMPLES / "CT_small.dcm"),
        )
        assert sent.returncode == 0, sent.stderr
        assert len(gateway.stored_files) == 20


def test_storescu_aborting_in_mid_transfer_leaves_nothing(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        port = str(gateway.port)
        dcmtk("storescu", "--abort", "-xe", "-R", "127.0.0.1", port, str(SAMPLES / "CT_small.dcm"))
        assert gateway.spool_files == []
        assert dcmtk("echoscu", "127.0.0.1", port).returncode == 0

"""DICOM tools of others: running them, and waiting for those that listen."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.fixtures.dicom_files import as_file, make_ct

_ENDS_WITHIN_S = 90.0
_LISTENS_WITHIN_S = 60.0
_PIXELMED = Path("/usr/share/java/pixelmed.jar")


@dataclass(frozen=True)
class Ran:
    """How a tool ended, and all that it printed."""

    returncode: int
    output: str

    def statuses(self) -> list[int]:
        """Give every DIMSE status that a DCMTK tool printed in debug mode, in order."""
        return [
            int(found, 16) for found in re.findall(r"DIMSE Status +: 0x([0-9a-f]{4})", self.output)
        ]


def installed(tool: str) -> str:
    """Give the path of a tool; fails the test where it is missing."""
    path = shutil.which(tool)
    if path is None:
        pytest.fail(f"{tool} is not installed, see make test-conformance")
    return path


def run(tool: str, *arguments: str | Path, folder: Path | None = None) -> Ran:
    """Run a tool to its end, in a folder where it may leave files."""
    done = subprocess.run(
        [installed(tool), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_ENDS_WITHIN_S,
        check=False,
        cwd=folder,
    )
    return Ran(done.returncode, done.stdout)


def pixelmed(client: str, *arguments: str | Path) -> Ran:
    """Run a client of PixelMed's `com.pixelmed.network`."""
    if not _PIXELMED.exists():
        pytest.fail("PixelMed is not installed: apt-get install pixelmed-apps")
    return run("java", "-cp", _PIXELMED, f"com.pixelmed.network.{client}", *arguments)


@dataclass(frozen=True)
class Receiver:
    """A `storescp` of DCMTK."""

    ae_title: str
    port: int
    folder: Path

    @property
    def as_modality(self) -> dict[str, object]:
        """The entry of `DicomModalities` for it."""
        return {"AET": self.ae_title, "Host": LOOPBACK, "Port": self.port}

    @property
    def received(self) -> dict[str, Path]:
        """The files that came so far, by SOP Instance UID; not one that is still being written."""
        found = {}
        for path in self.folder.iterdir():
            with contextlib.suppress(EOFError, InvalidDicomError, AttributeError):
                found[str(pydicom.dcmread(path).SOPInstanceUID)] = path
        return found


@contextlib.contextmanager
def storescp(folder: Path, *options: str, port: ReservedPort | None = None) -> Iterator[Receiver]:
    """Receive with DCMTK's storescp, in whatever transfer syntax it is sent."""
    port = port or ReservedPort()
    receiver = Receiver("STORESCP", port.number, folder)
    folder.mkdir(exist_ok=True)
    command = ["-aet", receiver.ae_title, "-od", str(folder), "+xa", "+B", *options]
    with listening("storescp", [*command, str(port.number)], port.number):
        yield receiver


@contextlib.contextmanager
def listening(
    tool: str, arguments: Sequence[str | Path], port: int, *, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a tool that listens, for the length of the block."""
    process = subprocess.Popen(
        [installed(tool), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        give_up_at = time.monotonic() + _LISTENS_WITHIN_S
        while not _listens(port):
            assert process.poll() is None, f"{tool} ended with {process.returncode}"
            assert time.monotonic() < give_up_at, f"{tool} does not listen"
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    """Look in the kernel's table: connecting would be an association that fails."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(wanted) and state == "0A":  # TCP_LISTEN
                return True
    return False


def unused_port() -> int:
    """Give a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Study:
    """A study in files, of one patient that no other test has."""

    patient_id: str
    study_instance_uid: str
    datasets: tuple[Dataset, ...]
    files: tuple[Path, ...]

    @property
    def sop_instance_uids(self) -> set[str]:
        """What a server must hold after it got all of it."""
        return {str(dataset.SOPInstanceUID) for dataset in self.datasets}

    @property
    def series_instance_uids(self) -> list[str]:
        """The series, in the order of their numbers."""
        return list(dict.fromkeys(str(dataset.SeriesInstanceUID) for dataset in self.datasets))


def make_study(folder: Path, *, series: int = 2, instances: int = 2, **elements: str) -> Study:
    """Write a study of small CT images into a folder of its own, a folder per series."""
    study_instance_uid = generate_uid()
    patient_id = elements.pop("PatientID", f"P{study_instance_uid[-12:]}")
    place = folder / f"study-{study_instance_uid[-12:]}"
    datasets, files = [], []
    for series_number in range(1, series + 1):
        series_instance_uid = generate_uid()
        (place / f"series-{series_number}").mkdir(parents=True)
        for instance_number in range(1, instances + 1):
            dataset = make_ct(
                **{
                    "PatientID": patient_id,
                    "PatientName": f"Conformance^{patient_id}",
                    "AccessionNumber": patient_id,
                    "StudyInstanceUID": study_instance_uid,
                    "SeriesInstanceUID": series_instance_uid,
                    "SeriesNumber": series_number,
                    "InstanceNumber": instance_number,
                    **elements,
                }
            )
            path = place / f"series-{series_number}" / f"{instance_number}.dcm"
            path.write_bytes(as_file(dataset))
            datasets.append(dataset)
            files.append(path)
    return Study(patient_id, study_instance_uid, tuple(datasets), tuple(files))

"""What is sent: instances encoded beforehand, told apart by digits patched into their UIDs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.fixtures.dimse_sender import EncodedInstance

_ROOT = "1.2.826.0.1.3680043.9.9999"
_STUDY = f"{_ROOT}.1.{'7' * 12}"
_INSTANCE = f"{_ROOT}.3.{'9' * 12}"
_PATIENT_ID = b"NOBODY"


def _template(rows: int, columns: int) -> bytes:
    """Make a CT image (PS3.3 Section A.3) as scanners send it, with a smooth noisy disc."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _INSTANCE
    dataset.StudyDate = dataset.SeriesDate = "20260102"
    dataset.StudyTime = dataset.SeriesTime = "101500"
    dataset.AccessionNumber = "BENCH"
    dataset.Modality = "CT"
    dataset.Manufacturer = "Lanthorn"
    dataset.StudyDescription = "Benchmark"
    dataset.SeriesDescription = "Slices"
    dataset.PatientName = "Bench^Mark"
    dataset.PatientID = _PATIENT_ID.decode()
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = _STUDY
    dataset.SeriesInstanceUID = _STUDY + ".1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = [0.7, 0.7]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 1064, 400
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    disc = np.where(x * x + y * y < 0.8, 1064, 24)
    noise = np.random.default_rng(1).normal(0, 12, disc.shape)
    dataset.PixelData = np.clip(disc + noise, 0, 4095).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = _INSTANCE
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def study_uid(run: int) -> str:
    """Return the Study Instance UID of what a run makes."""
    return f"{_ROOT}.1.{10**11 + run}"


def make_files(kind: str, count: int, *, run: int) -> list[bytes]:
    """Make `count` Part 10 files of one study; every `run` has UIDs of its own.

    `kind` is ``ct`` (512 x 512, 0.5 MB) or ``small`` (64 x 64, 9 KB).
    """
    side = 512 if kind == "ct" else 64
    template = _template(side, side).replace(_STUDY.encode(), study_uid(run).encode())
    uids = (f"{_ROOT}.3.{10**11 + run * 10**6 + number}" for number in range(count))
    return [template.replace(_INSTANCE.encode(), uid.encode()) for uid in uids]


def make_instances(kind: str, count: int, *, run: int) -> list[EncodedInstance]:
    """Make what `make_files` makes as data sets to be sent."""
    return [EncodedInstance.of_file(file) for file in make_files(kind, count, run=run)]


def make_patients(count: int) -> list[EncodedInstance]:
    """Make small instances of `count` patients with a study each, named ``Found^…``."""
    patients = []
    for number in range(count):
        (file,) = make_files("small", 1, run=90_000 + number)
        file = file.replace(b"Bench^Mark", f"Found^{number:04d}".encode())
        file = file.replace(_PATIENT_ID, f"F{number:04d}".encode() + b" ")
        patients.append(EncodedInstance.of_file(file))
    return patients

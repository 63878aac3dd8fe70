"""Synthetic studies for the explorer: pictures worth looking at, and no real patient."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

FileBytes = bytes


def ellipse(
    size: int, *, center: tuple[float, float], axes: tuple[float, float]
) -> NDArray[np.bool_]:
    """Tell which pixels of a `size` x `size` picture lie in an ellipse; lengths from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside: NDArray[np.bool_] = ((x - center[0]) / axes[0]) ** 2 + (
        (y - center[1]) / axes[1]
    ) ** 2 <= 1
    return inside


def torso(size: int, level: float) -> NDArray[np.int16]:
    """Draw one slice through a phantom of a chest, in HU, shape (size, size); `level` 0 to 1."""
    noise = np.random.default_rng(int(level * 1000)).normal(0, 12, (size, size))
    values = np.full((size, size), -1000.0)
    values[ellipse(size, center=(0, 0), axes=(0.92, 0.66))] = -90
    values[ellipse(size, center=(0, 0), axes=(0.86, 0.60))] = 45
    lung = 0.20 + 0.16 * np.sin(np.pi * (0.15 + 0.8 * level))
    values[ellipse(size, center=(-0.44, -0.05), axes=(lung, lung * 1.25))] = -820
    values[ellipse(size, center=(0.44, -0.05), axes=(lung, lung * 1.25))] = -820
    values[ellipse(size, center=(0.12, -0.10), axes=(0.12 + 0.16 * level, 0.14 + 0.14 * level))] = (
        130
    )
    values[ellipse(size, center=(0, 0.38), axes=(0.13, 0.12))] = 500
    values[ellipse(size, center=(0, 0.38), axes=(0.08, 0.07))] = 250
    values[ellipse(size, center=(-0.06, 0.20), axes=(0.05, 0.05))] = 180
    for side in (-1, 1):
        values[ellipse(size, center=(side * 0.80, 0.02), axes=(0.025, 0.10))] = 650
        values[ellipse(size, center=(side * 0.55, 0.46), axes=(0.10, 0.025))] = 650
    return np.clip(values + noise, -1024, 3071).astype(np.int16)


def encode(dataset: Dataset, sop_class_uid: str) -> FileBytes:
    """Write a data set as a Part 10 file, explicit VR little endian."""
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class PhantomStudy:
    """One synthetic study; each method adds a series and gives its files.

    Parameters
    ----------
    tags : str
        DICOM keywords of the patient and study levels.
    """

    def __init__(self, **tags: str) -> None:
        self.tags: dict[str, Any] = {
            "PatientName": "Phantom^Test",
            "PatientID": "PHANTOM",
            "PatientBirthDate": "19700131",
            "PatientSex": "O",
            "StudyDate": "20240229",
            "StudyTime": "101500",
            "StudyDescription": "Phantom",
            "AccessionNumber": "",
            "ReferringPhysicianName": "Curie^Marie",
            "StudyID": "1",
            "StudyInstanceUID": generate_uid(),
            **tags,
        }
        self.series_count = 0

    def ct(
        self, slices: int, *, size: int = 128, description: str = "Chest axial"
    ) -> list[FileBytes]:
        """Give `slices` CT images of a chest, with a window of 40/400 HU."""
        series = self._series("CT", description)
        return [self._ct_slice(series, index, slices, size) for index in range(slices)]

    def _ct_slice(self, series: dict[str, Any], index: int, slices: int, size: int) -> FileBytes:
        image = self._image(series, index + 1)
        image.ImagePositionPatient = [0, 0, index * 2.5]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.RescaleIntercept, image.RescaleSlope = "-1024", "1"
        image.WindowCenter, image.WindowWidth = "40", "400"
        values = torso(size, index / max(1, slices - 1)).astype(np.int32) + 1024
        set_grey_pixels(image, values.astype(np.uint16), bits_stored=12)
        return encode(image, CTImageStorage)

    def cine(
        self, frames: int, *, size: int = 96, description: str = "Beating disc"
    ) -> list[FileBytes]:
        """Give one multi-frame image of 8 bits in which a disc grows from frame to frame."""
        image = self._image(self._series("OT", description), 1)
        image.NumberOfFrames = frames
        pictures = np.zeros((frames, size, size), np.uint8)
        for frame in range(frames):
            radius = 0.2 + 0.6 * frame / max(1, frames - 1)
            pictures[frame][ellipse(size, center=(0, 0), axes=(radius, radius))] = 220
        set_grey_pixels(image, pictures, bits_stored=8)
        return [encode(image, MultiFrameGrayscaleByteSecondaryCaptureImageStorage)]

    def photo(self, *, size: int = 96, description: str = "Color chart") -> list[FileBytes]:
        """Give one RGB image."""
        image = self._image(self._series("SC", description), 1)
        ramp = np.linspace(0, 255, size).astype(np.uint8)
        red, green = np.meshgrid(ramp, ramp)
        picture = np.stack([red, green, 255 - red], axis=-1)
        image.SamplesPerPixel, image.PhotometricInterpretation = 3, "RGB"
        image.PlanarConfiguration = 0
        image.Rows = image.Columns = size
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit, image.PixelRepresentation = 7, 0
        image.PixelData = picture.tobytes()
        return [encode(image, SecondaryCaptureImageStorage)]

    def plan(self, *, description: str = "Plan") -> list[FileBytes]:
        """Give one RT plan: tags and sequences, no picture."""
        plan = self._image(self._series("RTPLAN", description), 1)
        plan.RTPlanLabel, plan.RTPlanDate, plan.RTPlanTime = "Plan 1", "20240229", "101500"
        plan.RTPlanGeometry = "TREATMENT_DEVICE"
        beams = []
        for number in range(1, 4):
            beam = Dataset()
            beam.BeamNumber, beam.BeamName = number, f"Field {number}"
            beam.RadiationType, beam.BeamType = "PHOTON", "STATIC"
            beams.append(beam)
        plan.BeamSequence = beams
        return [encode(plan, RTPlanStorage)]

    def _series(self, modality: str, description: str) -> dict[str, Any]:
        self.series_count += 1
        return {
            "Modality": modality,
            "SeriesInstanceUID": generate_uid(),
            "SeriesNumber": str(self.series_count),
            "SeriesDescription": description,
            "SeriesDate": self.tags["StudyDate"],
            "SeriesTime": self.tags["StudyTime"],
            "Manufacturer": "Lanthorn phantoms",
        }

    def _image(self, series: dict[str, Any], number: int) -> Dataset:
        image = Dataset()
        image.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in {**self.tags, **series}.items():
            setattr(image, keyword, value)
        image.SOPInstanceUID = generate_uid()
        image.InstanceNumber = str(number)
        return image


def set_grey_pixels(image: Dataset, pixels: NDArray[Any], *, bits_stored: int) -> None:
    """Put native MONOCHROME2 pixels, shape (..., rows, columns), and their description."""
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape[-2:]
    image.BitsAllocated = pixels.dtype.itemsize * 8
    image.BitsStored, image.HighBit = bits_stored, bits_stored - 1
    image.PixelRepresentation = 0
    image.PixelData = pixels.tobytes()

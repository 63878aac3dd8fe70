"""``python -m lanthorn_dimse_gateway.trial``: store an instance, find it, see it, remove it.

A running system is tried as a modality and a viewer would: it is told of a remote AE, takes a small
image by C-STORE, finds it, gives back the same bytes and shows it. What the trial made is removed.
`helm test` runs this; it asks as the user `lanthorn`, whose password is in
``LANTHORN_FIRST_PASSWORD_FILE``, or as nobody without that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lanthorn_core.dicom.dataset_writing import encode_dataset
from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_dimse import AssociateRequest, Command, CommandField, DimseError, connect, propose

AE_TITLE: Final = "LANTHORN_TRIAL"
MODALITY: Final = "lanthorn-trial"
KNOWN_WITHIN_S: Final = 30
"""Until every gateway has heard of a remote AE; a second each is slept between tries."""

_ROWS: Final = 16
_PNG: Final = b"\x89PNG"


class TrialFailed(Exception):
    """The system did not do what it is for."""


def make_image() -> Dataset:
    """Make a small CT image (PS3.3 Section A.3) of nobody."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.PatientName, image.PatientID = "Trial^Lanthorn", MODALITY
    image.StudyDate, image.Modality, image.InstanceNumber = "20240102", "CT", 1
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = _ROWS
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelData = bytes(range(256)) * (2 * _ROWS * _ROWS // 256)
    image["PixelData"].VR = "OW"
    return image


async def store(host: str, port: int, called: str, image: Dataset, encoded: bytes) -> int:
    """Send one C-STORE request on an association of its own; returns the status.

    Raises
    ------
    DimseError
        There was no association, or it ended before the answer.
    """
    contexts = propose([(image.SOPClassUID, [ExplicitVRLittleEndian])])
    async with connect(host, port, AssociateRequest(AE_TITLE, called, contexts)) as assoc:
        command = Command(
            CommandField.C_STORE_RQ,
            assoc.next_message_id(),
            sop_class_uid=image.SOPClassUID,
            sop_instance_uid=image.SOPInstanceUID,
            has_data_set=True,
        )
        context = assoc.context_for(image.SOPClassUID)
        response = await assoc.request(context.context_id, command, encoded)
    return response.command.status or 0


async def store_once_known(
    host: str, port: int, called: str, image: Dataset, encoded: bytes
) -> None:
    """Store; gateways that have not heard of us yet refuse, and are asked again."""
    answer = ""
    for _ in range(KNOWN_WITHIN_S):
        try:
            status = await store(host, port, called, image, encoded)
        except DimseError as error:
            answer = str(error)
        else:
            if status == 0:
                return
            answer = f"status {status:04X}"
        await asyncio.sleep(1)
    raise TrialFailed(f"C-STORE to {host}:{port} does not succeed: {answer}")


@asynccontextmanager
async def known_as_remote_ae(http: httpx2.AsyncClient, address: str) -> AsyncIterator[None]:
    """Be a remote AE that may store, for the length of the block."""
    entry = {"AET": AE_TITLE, "Host": address, "Port": 104, "AllowStore": True}
    answer = await http.put(f"/modalities/{MODALITY}", json=entry)
    answer.raise_for_status()
    try:
        yield
    finally:
        (await http.delete(f"/modalities/{MODALITY}")).raise_for_status()


async def find_and_compare(http: httpx2.AsyncClient, image: Dataset, encoded: bytes) -> None:
    """Find the image over HTTP, compare its bytes, have it rendered, and delete it."""
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": image.SOPInstanceUID}}
    found = (await http.post("/tools/find", json=query)).raise_for_status().json()
    if len(found) != 1:
        raise TrialFailed(f"{len(found)} instances were found, where one was stored")
    path = f"/instances/{found[0]}"
    try:
        file = (await http.get(f"{path}/file")).raise_for_status().content
        if file[read_file_meta(file).dataset_offset :] != encoded:
            raise TrialFailed("the instance did not come back as it was sent")
        picture = (await http.get(f"{path}/preview")).raise_for_status().content
        if not picture.startswith(_PNG):
            raise TrialFailed("the preview is no PNG")
    finally:
        (await http.delete(path)).raise_for_status()


async def run_trial(dicom: str, url: str, called: str, password: str) -> None:
    """Try a system.

    Parameters
    ----------
    dicom : str
        ``host:port`` of DICOM.
    url : str
        Where HTTP is.
    called : str
        AE title of the system.
    password : str
        Of the user `lanthorn`; empty to ask as nobody.

    Raises
    ------
    TrialFailed, httpx2.HTTPError
        It did not do what it is for.
    """
    host, _, port = dicom.rpartition(":")
    image = make_image()
    encoded = encode_dataset(image, ExplicitVRLittleEndian, ())  # in UTF-8
    user = ("lanthorn", password) if password else None
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        own_address: str = connection.getsockname()[0]
    async with (
        httpx2.AsyncClient(base_url=url, auth=user, timeout=30, trust_env=False) as http,
        known_as_remote_ae(http, own_address),
    ):
        await store_once_known(host, int(port), called, image, encoded)
        await find_and_compare(http, image, encoded)


def main(arguments: list[str] | None = None) -> None:
    """Try the system that the arguments name; ends with code 1 when it fails."""
    parser = argparse.ArgumentParser(prog="trial", description=__doc__)
    parser.add_argument("--dicom", required=True, metavar="HOST:PORT")
    parser.add_argument("--http", required=True, metavar="URL")
    parser.add_argument("--called", default="LANTHORN", metavar="AET")
    options = parser.parse_args(arguments)
    file = os.environ.get("LANTHORN_FIRST_PASSWORD_FILE")
    password = Path(file).read_text(encoding="utf-8").strip() if file else ""
    try:
        asyncio.run(run_trial(options.dicom, options.http, options.called, password))
    except (TrialFailed, httpx2.HTTPError, OSError) as error:
        sys.stderr.write(f"failed: {error}\n")
        raise SystemExit(1) from None
    sys.stdout.write("stored, found, fetched, rendered and removed one instance\n")


if __name__ == "__main__":
    main()

"""The load, run in a pod of the gateway's image: sends until SIGTERM, prints what was acknowledged.

One line of JSON for each instance that was answered with success, `{"uid", "sha256"}`, and a last
one with the number of each kind of answer. An instance is sent again and again until it is
acknowledged, as a modality does. Needs nothing but what the image has.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections import Counter
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lanthorn_core.dicom.dataset_writing import encode_dataset
from lanthorn_dimse import (
    AssociateRequest,
    Association,
    Command,
    CommandField,
    DimseError,
    associate,
    propose,
)
from lanthorn_dimse_gateway.trial import make_image

IMAGES_IN_A_STUDY = 20
PAUSE_S = 0.15


class Modality:
    """Sends study after study, each on one association as long as that holds."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self._name, self._host, self._port = name, host, port
        self._assoc: Association | None = None
        self.answers: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop; what is under way then is ended first."""
        while not stop.is_set():
            image = make_image()
            image.PatientID = self._name
            for number in range(1, IMAGES_IN_A_STUDY + 1):
                image.SOPInstanceUID, image.InstanceNumber = generate_uid(), number
                encoded = encode_dataset(image, ExplicitVRLittleEndian, ())
                while not await self._is_stored(image, encoded):
                    await self._end()
                    await asyncio.sleep(PAUSE_S)
                    if stop.is_set():
                        return
                say(uid=image.SOPInstanceUID, sha256=hashlib.sha256(encoded).hexdigest())
                await asyncio.sleep(PAUSE_S)
            await self._end()

    async def _is_stored(self, image: Dataset, encoded: bytes) -> bool:
        try:
            if self._assoc is None:
                contexts = propose([(image.SOPClassUID, [ExplicitVRLittleEndian])])
                request = AssociateRequest("LOAD", "LANTHORN", contexts)
                self._assoc = await associate(self._host, self._port, request)
            command = Command(
                CommandField.C_STORE_RQ,
                self._assoc.next_message_id(),
                sop_class_uid=image.SOPClassUID,
                sop_instance_uid=image.SOPInstanceUID,
                has_data_set=True,
            )
            context = self._assoc.context_for(image.SOPClassUID)
            response = await self._assoc.request(context.context_id, command, encoded, timeout_s=30)
        except DimseError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[f"{response.command.status:04X}"] += 1
        return response.command.status == 0

    async def _end(self) -> None:
        if self._assoc is not None:
            with contextlib.suppress(DimseError):  # it has ended already
                await self._assoc.release(timeout_s=5)
            await self._assoc.close()
            self._assoc = None


def say(**entry: Any) -> None:
    """Print one line at once."""
    sys.stdout.write(json.dumps(entry) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Send as two modalities until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, _, port = os.environ["DICOM"].rpartition(":")
    modalities = [Modality(f"LOAD{number}", host, int(port)) for number in (1, 2)]
    async with asyncio.TaskGroup() as group:
        for modality in modalities:
            group.create_task(modality.run(stop))
    say(answers=sum((modality.answers for modality in modalities), Counter()))


asyncio.run(main())

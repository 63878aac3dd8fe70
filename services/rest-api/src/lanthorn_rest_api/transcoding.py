"""`?transcode=`: objects in the transfer syntax that a client asks for (reference 2.6, 2.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.uid import AllTransferSyntaxes

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.renderer import TranscodeRequest
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api.parameters import Parameters, unsigned

_BEST: Final = 100


@dataclass(frozen=True, slots=True)
class Transcoding:
    """What objects shall become: a transfer syntax, and the quality of a lossy one."""

    transfer_syntax_uid: str
    quality: int

    def request_for(self, instance: StoredInstance) -> TranscodeRequest | None:
        """Ask for an instance in this transfer syntax; None if it is in it already."""
        if instance.transfer_syntax_uid == self.transfer_syntax_uid:
            return None
        return TranscodeRequest(
            object_key=instance.object_key,
            transfer_syntax_uid=self.transfer_syntax_uid,
            quality=self.quality,
        )


def transcoding_of(parameters: Parameters, settings: Settings) -> Transcoding | None:
    """Read `transcode` and `lossy-quality`; None where the former is not given.

    Raises
    ------
    InvalidParameter
        There is no such transfer syntax.
    BadParameterType
        The quality is no number.
    """
    wanted = parameters.get("transcode")
    if wanted is None:
        return None
    if wanted not in AllTransferSyntaxes:
        raise InvalidParameter(f"Unknown transfer syntax: {wanted}")
    quality = settings.dicom_lossy_transcoding_quality
    if "lossy-quality" in parameters:
        quality = unsigned(parameters["lossy-quality"])
    return Transcoding(wanted, min(max(quality, 1), _BEST))

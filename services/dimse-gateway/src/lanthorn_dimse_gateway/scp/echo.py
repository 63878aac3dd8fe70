"""Verification Service Class SCP (PS3.4 Annex A)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import structlog

from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.contexts import VERIFICATION
from lanthorn_dimse_gateway.scp.answer import SUCCESS, answer

log = structlog.get_logger(__name__)

_TRANSFER_SYNTAXES: Final = (
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
)


class EchoScp:
    """Answers C-ECHO requests (PS3.7 Section 9.1.5)."""

    command: Final = CommandField.C_ECHO_RQ
    service: Final = Service.ECHO
    abstract_syntaxes: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {VERIFICATION: _TRANSFER_SYNTAXES}
    )

    async def serve(self, assoc: Association, request: Request) -> None:
        """Answer 0000."""
        await answer(assoc, request, SUCCESS)
        log.info("c_echo_answered")

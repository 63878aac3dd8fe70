"""Associations on which storage commitment was asked for, while a report over them is possible.

Whichever gateway runs the job of a request: the report goes over the association of the request if
that is still open, in this process or in another one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from lanthorn_core.dicom.commitment import CommitmentResult, decode_result, encode_result
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.errors import InvalidDataset
from lanthorn_core.ports.commitment import CommitmentRelay
from lanthorn_dimse import Association, DimseError
from lanthorn_dimse_gateway.scu.commitment_report import report_over

log = structlog.get_logger(__name__)

_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class _OpenAssociation:
    assoc: Association
    context_id: int


_Offer = asyncio.Future[_OpenAssociation]


class OpenAssociations:
    """Those of this process, by Transaction UID; made by `keeping_associations`.

    Attributes
    ----------
    gateway_id : str
        Names this process in jobs.
    """

    def __init__(self, relay: CommitmentRelay) -> None:
        self.gateway_id: Final = secrets.token_hex(8)
        self._relay = relay
        self._offers: dict[str, _Offer] = {}

    @contextmanager
    def offered(self, transaction_uid: str, assoc: Association, context_id: int) -> Iterator[None]:
        """Offer an association from the end of the block on, unless the block fails.

        A transaction can be known to others, who wait, before that.
        """
        offer: _Offer = asyncio.get_running_loop().create_future()
        self._offers = {uid: known for uid, known in self._offers.items() if not _is_over(known)}
        if len(self._offers) < _MOST:
            self._offers[transaction_uid] = offer
        try:
            yield
        except BaseException:
            offer.cancel()
            raise
        if not offer.done():
            offer.set_result(_OpenAssociation(assoc, context_id))

    async def report(self, gateway_id: str, result: CommitmentResult) -> int | None:
        """Report over the association of the request, which a gateway has.

        Returns
        -------
        int or None
            The status that the peer answered; None if the association is over.
        """
        if gateway_id == self.gateway_id:
            return await self._report(result)
        encoded = encode_result(result, EXPLICIT_VR_LITTLE_ENDIAN)
        return await self._relay.pass_on(gateway_id, encoded)

    async def take(self, encoded: bytes) -> int | None:
        """Send what another gateway passes on."""
        try:
            return await self._report(decode_result(encoded, EXPLICIT_VR_LITTLE_ENDIAN))
        except InvalidDataset as error:
            log.warning("commitment_report_dropped", error=str(error))
            return None

    async def _report(self, result: CommitmentResult) -> int | None:
        offer = self._offers.pop(result.transaction_uid, None)
        if offer is None:
            return None
        await asyncio.wait([offer])
        if _is_over(offer):
            return None
        still_open = offer.result()
        try:
            return await report_over(still_open.assoc, still_open.context_id, result)
        except DimseError as error:
            log.info("commitment_association_ended", reason=str(error))
            return None


@asynccontextmanager
async def keeping_associations(relay: CommitmentRelay) -> AsyncIterator[OpenAssociations]:
    """Keep associations for reports over them, also for other gateways, for the block's length."""
    kept = OpenAssociations(relay)
    async with relay.taking(kept.gateway_id, kept.take):
        yield kept


def _is_over(offer: _Offer) -> bool:
    if not offer.done():
        return False
    return offer.cancelled() or not offer.result().assoc.is_established

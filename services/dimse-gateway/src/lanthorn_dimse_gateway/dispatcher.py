"""Requests of peers, brought to the service that answers them.

References
----------
DICOM PS3.7 Annex C (statuses of all services), Section 9.3 (messages).
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

import structlog

from lanthorn_core.errors import LanthornError, NotAuthorized, UnsupportedSopClass
from lanthorn_core.telemetry.tracing import span
from lanthorn_dimse import (
    Association,
    CommandField,
    DataSetSink,
    DimseError,
    Ended,
    Request,
)
from lanthorn_dimse_gateway.access import AccessPolicy, Service, requestor_of
from lanthorn_dimse_gateway.metrics import (
    ENDED_BY,
    OPEN_ASSOCIATIONS,
    operation_of,
    request_seconds,
)
from lanthorn_dimse_gateway.scp.answer import (
    UNRECOGNIZED_OPERATION,
    answer,
    comment_of,
    status_of,
)
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory, ServiceProvider

log = structlog.get_logger(__name__)

_NAMES_ITS_CLASS_AS_REQUESTED: Final = frozenset(
    {CommandField.N_ACTION_RQ, CommandField.N_GET_RQ, CommandField.N_SET_RQ}
)


class AssociationHandler:
    """Serves one association.

    Parameters
    ----------
    services : ServiceDirectory
        What this process provides.
    access : AccessPolicy or None
        The rules as they were when the association was accepted. None on an association that we
        opened: what the peer asks there is what we asked it for.
    """

    def __init__(self, services: ServiceDirectory, access: AccessPolicy | None) -> None:
        self._services = services
        self._access = access
        self._permissions: dict[Service, bool] = {}
        self._requests = 0

    def begin(self, assoc: Association, request: Request) -> DataSetSink | None:
        """Choose where a data set goes: to a service that takes it as it comes, or to memory."""
        provider = self._services.streaming(self._provider(request))
        if provider is not None:
            permitted = self._permits(assoc, provider.service)
            return provider.begin(assoc, request, permitted=permitted)
        return None

    async def handle(self, assoc: Association, request: Request) -> None:
        """Have a request answered; what fails is told to the peer in the response."""
        self._requests += 1
        structlog.contextvars.bind_contextvars(association_id=assoc.id)
        provider = self._provider(request)
        if provider is None:
            await self._refuse(assoc, request, UNRECOGNIZED_OPERATION, "operation not provided")
            return
        try:
            await self._serve(assoc, request, provider)
        except DimseError as error:
            # The association is over; the library has told why.
            log.info("request_abandoned", operation=request.command.field.name, reason=str(error))
        except LanthornError as error:
            status = status_of(error, request.command.field)
            await self._refuse(assoc, request, status, comment_of(error))
        except Exception:
            log.exception("request_crashed", operation=request.command.field.name)
            status = status_of(LanthornError(), request.command.field)
            await self._refuse(assoc, request, status, LanthornError.slug)

    async def _serve(self, assoc: Association, request: Request, provider: ServiceProvider) -> None:
        field = request.command.field
        started = perf_counter()
        try:
            with span(operation_of(field), association_id=assoc.id):
                if self._services.streaming(provider) is None:
                    self._check(assoc, request, provider)
                await provider.serve(assoc, request)
        finally:
            request_seconds(field).observe(perf_counter() - started)

    def ended(self, assoc: Association, how: Ended) -> None:
        """Count and log the end of an accepted association."""
        if self._access is not None:
            OPEN_ASSOCIATIONS.labels("in").dec()
            ENDED_BY["in", how].inc()
            log.info(
                "association_ended",
                association_id=assoc.id,
                how=how.value,
                requests=self._requests,
                bytes_received=assoc.bytes_received,
                bytes_sent=assoc.bytes_sent,
            )

    def _provider(self, request: Request) -> ServiceProvider | None:
        return self._services.provider(request.command.field, request.context.abstract_syntax)

    def _permits(self, assoc: Association, service: Service) -> bool:
        if self._access is None:
            return True
        known = self._permissions.get(service)
        if known is None:
            known = self._access.allows(requestor_of(assoc), service)
            self._permissions[service] = known
        return known

    def _check(self, assoc: Association, request: Request, provider: ServiceProvider) -> None:
        if not self._permits(assoc, provider.service):
            raise NotAuthorized(f"{provider.service.value} is not allowed")
        command = request.command
        uid = (
            command.requested_sop_class_uid
            if command.field in _NAMES_ITS_CLASS_AS_REQUESTED
            else command.sop_class_uid
        )
        if not request.context.as_scp:
            raise UnsupportedSopClass("this role was not negotiated for the SOP class")
        if uid and uid != request.context.abstract_syntax:
            raise UnsupportedSopClass("the presentation context is for another SOP class")

    async def _refuse(
        self, assoc: Association, request: Request, status: int, comment: str
    ) -> None:
        operation = request.command.field.name
        log.warning("request_refused", operation=operation, status=f"{status:04X}")
        try:
            await answer(assoc, request, status, comment)
        except DimseError:
            log.info("request_abandoned", operation=operation, reason="association over")

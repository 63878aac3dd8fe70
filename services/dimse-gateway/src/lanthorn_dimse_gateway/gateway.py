"""What the gateway decides on associations: who may have one, with which contexts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from lanthorn_core.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import (
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
    Association,
    ContextResult,
    Decision,
    PeerAddress,
)
from lanthorn_dimse_gateway.access import AccessPolicy, Requestor, known_aes
from lanthorn_dimse_gateway.contexts import ContextPolicy
from lanthorn_dimse_gateway.dispatcher import AssociationHandler
from lanthorn_dimse_gateway.metrics import (
    ACCEPTED_ASSOCIATIONS,
    OPEN_ASSOCIATIONS,
    REJECTED_BY_US,
)
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory

log = structlog.get_logger(__name__)


class KnownRemoteAEs(Protocol):
    """What admission needs of `RemoteAERegistry`."""

    async def all(self) -> Mapping[str, RemoteAE]:
        """All remote AEs by symbolic name; without a round trip while nothing changed."""
        ...


class Gateway:
    """The policies and services that all associations of this process share.

    Parameters
    ----------
    settings : Settings
        Orthanc's options.
    services : ServiceDirectory
        What is provided.
    remote_aes : KnownRemoteAEs
        Asked at each A-ASSOCIATE-RQ, so that a change counts from the next association on.
    """

    def __init__(
        self, settings: Settings, services: ServiceDirectory, remote_aes: KnownRemoteAEs
    ) -> None:
        self._services = services
        self._remote_aes = remote_aes
        self._access = AccessPolicy.of(settings)
        self._known_from: Mapping[str, RemoteAE] = {}
        self._contexts = ContextPolicy.of(settings, services.abstract_syntaxes)
        self._maximum_pdu_length = settings.maximum_pdu_length
        self._associations = settings.dicom_threads_count

    async def negotiate(
        self, request: AssociateRequest, peer: PeerAddress, established: int
    ) -> Decision:
        """Answer an A-ASSOCIATE-RQ; `established` counts the associations that are there."""
        access = await self._current_access()
        requestor = Requestor(
            request.calling_ae_title,
            request.called_ae_title,
            peer.ip,
            request.application_context_name,
        )
        described = {
            "calling_ae_title": requestor.calling_ae_title,
            "called_ae_title": requestor.called_ae_title,
            "remote_ip": requestor.remote_ip,
        }
        rejection = access.admit(requestor, associations=established, limit=self._associations)
        if rejection is not None:
            return self._reject(rejection, described)
        return self._accept(request)

    def serve(self, assoc: Association) -> AssociationHandler:
        """Make the handler of an association that was accepted just now."""
        accepted = sum(
            context.result is ContextResult.ACCEPTANCE for context in assoc.acceptance.contexts
        )
        ACCEPTED_ASSOCIATIONS.labels("in").inc()
        OPEN_ASSOCIATIONS.labels("in").inc()
        log.info(
            "association_accepted",
            association_id=assoc.id,
            contexts=len(assoc.acceptance.contexts),
            accepted_contexts=accepted,
            calling_ae_title=assoc.calling_ae_title,
            called_ae_title=assoc.called_ae_title,
            remote_ip=assoc.remote_ip,
            tls=assoc.tls is not None,
        )
        return AssociationHandler(self._services, self._access)

    @staticmethod
    def rejected(rejection: AssociateRejection) -> None:
        """Count a rejection, whoever decided on it: these policies or the server's limits."""
        REJECTED_BY_US[rejection.text].inc()

    async def _current_access(self) -> AccessPolicy:
        remote_aes = await self._remote_aes.all()
        if remote_aes is not self._known_from:
            self._access = replace(self._access, known=known_aes(remote_aes.values()))
            self._known_from = remote_aes
        return self._access

    def _reject(
        self, rejection: AssociateRejection, described: Mapping[str, str]
    ) -> AssociateRejection:
        log.warning("association_rejected", reason=rejection.text, **described)
        return rejection

    def _accept(self, request: AssociateRequest) -> AssociateAcceptance:
        contexts = self._contexts.answer(request.contexts, request.roles)
        accepted = {
            context.abstract_syntax
            for context in contexts
            if context.result is ContextResult.ACCEPTANCE
        }
        roles = self._contexts.agreed_roles(request.roles)
        extended = {
            uid: self._services.answer_extended(uid, proposed)
            for uid, proposed in request.extended.items()
            if uid in accepted
        }
        return AssociateAcceptance(
            contexts,
            roles={uid: role for uid, role in roles.items() if uid in accepted},
            extended={uid: answer for uid, answer in extended.items() if answer is not None},
            maximum_length=self._maximum_pdu_length,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        )

"""Verification Service Class SCP (PS3.4 Annex A)."""

from __future__ import annotations

import structlog

from lanthorn_core.errors import NotAuthorized
from lanthorn_dimse_gateway.access import AccessPolicy, Requestor, Service
from lanthorn_dimse_gateway.metrics import ECHOES
from lanthorn_dimse_gateway.scp.answer import SUCCESS, Answer, refuse

log = structlog.get_logger(__name__)


def answer_echo(access: AccessPolicy, requestor: Requestor) -> Answer:
    """Answer one C-ECHO request (PS3.7 Section 9.1.5).

    Returns
    -------
    Answer
        0000, or 0124 (not authorized) for a peer without `AllowEcho`.
    """
    if access.allows(requestor, Service.ECHO):
        answer = SUCCESS
        log.info("c_echo_answered")
    else:
        answer = refuse(NotAuthorized("C-ECHO is not allowed"), NotAuthorized.c_store)
        log.warning("c_echo_refused", error=NotAuthorized.slug)
    ECHOES.labels(f"{answer.status:04X}").inc()
    return answer

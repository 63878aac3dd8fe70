"""Sending to remote application entities: resources as a job, a file at once (reference 2.12.2)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.commands import StoreJob, to_parameters
from lanthorn_core.dicom.commitment import new_transaction_uid
from lanthorn_core.errors import BadParameterType, InvalidParameter
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.exported_resources import (
    SelectedResources,
    parse_resources,
    record_exports,
    select,
)
from lanthorn_rest_api.job_requests import answer_job, job_options
from lanthorn_rest_api.modality_entries import check_port
from lanthorn_rest_api.remote_requests import ae_title_field, called_remote, text_field
from lanthorn_rest_api.services import ServicesDep
from lanthorn_rest_api.straight_store import send_straight

router = APIRouter()

_LARGEST_MESSAGE_ID: Final = 0xFFFF


@router.post("/modalities/{name}/store", dependencies=[Depends(current_index)])
async def store(name: str, request: Request, services: ServicesDep) -> Response:
    """Send resources to a remote application entity."""
    await services.remote_aes.get(name)
    ids, body = parse_resources(await request.body())
    remote = _overridden(await called_remote(services, name, body), body)
    options = job_options(body)
    originator = _move_originator(body, remote)
    transaction_uid = new_transaction_uid() if _boolean(body, "StorageCommitment") else ""
    selected = await select(services, ids)
    content = _content(remote, selected)
    if originator[1]:
        content |= {"MoveOriginatorAET": originator[0], "MoveOriginatorID": originator[1]}
    if transaction_uid:
        content["StorageCommitmentTransactionUID"] = transaction_uid
    job = StoreJob(
        remote=remote,
        instances=list(selected.instances),
        move_originator_ae_title=originator[0],
        move_originator_message_id=originator[1],
        storage_commitment_transaction_uid=transaction_uid,
        permissive=options.is_permissive,
    )
    if services.settings.log_exported_resources:
        await record_exports(services, name, selected)
    return await answer_job(
        services.jobs,
        JobRequest(
            type="DicomModalityStore",
            parameters=to_parameters(job),
            content=content,
            priority=options.priority,
            user_data=options.user_data,
        ),
        synchronous=options.is_synchronous,
    )


@router.post("/modalities/{name}/store-straight")
async def store_straight(name: str, request: Request, services: ServicesDep) -> Response:
    """Send the DICOM file in the body to a remote application entity, without keeping it."""
    remote = await called_remote(services, name, {})
    sent = await send_straight(services, request, remote)
    return json_answer({"SOPClassUID": sent.sop_class_uid, "SOPInstanceUID": sent.sop_instance_uid})


def _overridden(remote: RemoteAE, body: dict[str, Any]) -> RemoteAE:
    port = body.get("Port", remote.port)
    if isinstance(port, bool) or not isinstance(port, int):
        raise BadParameterType
    check_port(port)
    return msgspec.structs.replace(
        remote,
        ae_title=ae_title_field(body, "CalledAet") or remote.ae_title,
        host=text_field(body, "Host") or remote.host,
        port=port,
    )


def _move_originator(body: dict[str, Any], remote: RemoteAE) -> tuple[str, int]:
    """Return AE title and message id of the C-MOVE that this shall look like a part of."""
    title = ae_title_field(body, "MoveOriginatorAet") or remote.local_ae_title
    number = body.get("MoveOriginatorID", 0)
    if isinstance(number, bool) or not isinstance(number, int):
        raise BadParameterType
    if not 0 <= number <= _LARGEST_MESSAGE_ID:
        raise InvalidParameter
    return (title, number) if number else ("", 0)


def _boolean(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadParameterType
    return value


def _content(remote: RemoteAE, selected: SelectedResources) -> dict[str, Any]:
    content: dict[str, Any] = {
        "FailedInstancesCount": 0,
        "InstancesCount": len(selected.instances),
        "LocalAet": remote.local_ae_title,
        "RemoteAet": remote.ae_title,
    }
    if selected.resources:
        levels = {resource.public_id: resource.level for resource in selected.resources}
        content["ParentResources"] = sorted(levels)
        content["Resources"] = [{"ID": one, "Type": levels[one].value} for one in sorted(levels)]
    return content

"""Storage commitment: asking a modality for it, and its reports (reference 2.12 and 2.16)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.commands import RequestCommitment
from lanthorn_core.dicom.commitment import CommitmentRequest, SopReference, new_transaction_uid
from lanthorn_core.dicom.matching import MatchingKey
from lanthorn_core.errors import BadSequenceOfCalls, InexistentItem, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.commitment import CommitmentReport
from lanthorn_core.ports.index import FindQuery
from lanthorn_rest_api.answers import action_answer, json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.bodies import Body
from lanthorn_rest_api.parameters import BadFormat
from lanthorn_rest_api.remote_requests import called_remote, object_body
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter()

REMOVE_PATH: Final = "/storage-commitment/{transaction_uid}/remove"

_UID: Final = re.compile(r"[0-9.]{1,64}")
_SOP_INSTANCE_UID: Final = 0x0008_0018
_AT_ONCE: Final = 500
_NO_OBJECT: Final = "Must provide a JSON object with a list of resources"


@router.post("/modalities/{name}/storage-commitment", dependencies=[Depends(current_index)])
async def request_commitment(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask a modality to commit to instances; its report is found under the UID answered."""
    await services.remote_aes.get(name)  # one that is not known counts before a wrong body
    body = await object_body(request, _NO_OBJECT)
    remote = await called_remote(services, name, body)
    references = [reference async for reference in _references(services, body)]
    wanted = CommitmentRequest(new_transaction_uid(), tuple(references))
    # First expected, then asked: some modalities report before they have answered.
    await services.commitment_reports.expect(wanted, remote.ae_title)
    await services.commands.request_commitment(
        RequestCommitment(remote=remote, transaction_uid=wanted.transaction_uid)
    )
    uid = wanted.transaction_uid
    return json_answer({"ID": uid, "Path": f"/storage-commitment/{uid}"})


@router.get("/storage-commitment/{transaction_uid}")
async def show_report(transaction_uid: str, services: ServicesDep) -> Response:
    """Show what a modality reported."""
    return json_answer(_json(await _report(services, transaction_uid)))


@router.post(REMOVE_PATH, dependencies=[Depends(current_index)])
async def remove_committed(transaction_uid: str, services: ServicesDep) -> Response:
    """Delete the instances that a modality has committed to, if it has to all."""
    report = await _report(services, transaction_uid)
    if report.is_pending or report.failures:
        raise BadSequenceOfCalls(
            "Cannot remove DICOM instances after failure in storage commitment transaction: "
            f"{transaction_uid}"
        )
    resources: list[tuple[Level, str]] = []
    for start in range(0, len(report.committed), _AT_ONCE):
        batch = report.committed[start : start + _AT_ONCE]
        uids = tuple(reference.sop_instance_uid for reference in batch)
        key = MatchingKey(_SOP_INSTANCE_UID, "SOPInstanceUID", "single", uids)
        found = await services.reader.find_ids(FindQuery(level=Level.INSTANCE, keys=[key]))
        resources += [(Level.INSTANCE, public_id) for public_id in found]
    if resources:
        await services.delete(resources)
    return action_answer()


async def _report(services: Services, transaction_uid: str) -> CommitmentReport:
    report = await services.commitment_reports.get(transaction_uid)
    if report is None:
        raise InexistentItem(f"No storage commitment transaction with UID: {transaction_uid}")
    return report


def _json(report: CommitmentReport) -> dict[str, Any]:
    if report.is_pending:
        return {"RemoteAET": report.remote_ae_title, "Status": "Pending"}
    return {
        "RemoteAET": report.remote_ae_title,
        "Status": "Failure" if report.failures else "Success",
        "Success": [_reference_json(reference) for reference in report.committed],
        "Failures": [
            {
                **_reference_json(failure.reference),
                "FailureReason": failure.reason,
                "Description": failure.description,
            }
            for failure in report.failures
        ],
    }


def _reference_json(reference: SopReference) -> dict[str, str]:
    return {
        "SOPClassUID": reference.sop_class_uid,
        "SOPInstanceUID": reference.sop_instance_uid,
    }


async def _references(services: Services, body: Body) -> AsyncIterator[SopReference]:
    """Yield the instances that a body names: by ids of any level, by UIDs, or both."""
    if not {"Resources", "DicomInstances"} & body.keys():
        raise BadFormat(
            "Empty storage commitment request, one of these fields is mandatory: "
            '"Resources" or "DicomInstances"'
        )
    resources = body.get("Resources", [])
    if not isinstance(resources, list) or not all(isinstance(one, str) for one in resources):
        raise BadFormat('The "Resources" field must provide an array of Orthanc resources')
    instances = body.get("DicomInstances", [])
    if not isinstance(instances, list):
        raise BadFormat('The "DicomInstances" field must provide an array of DICOM instances')
    given = [_given(instance) for instance in instances]
    for public_id in resources:
        level = await services.reader.level_of(public_id)
        if level is None:
            raise UnknownResource
        for stored in await services.reader.instances(level, public_id):
            yield SopReference(stored.sop_class_uid, stored.sop_instance_uid)
    for reference in given:
        yield reference


def _given(instance: Any) -> SopReference:
    if isinstance(instance, list):
        uids, complaint = (
            instance,
            (
                "An instance entry must provide an array with 2 strings: "
                "SOP Class UID and SOP Instance UID"
            ),
        )
    elif isinstance(instance, dict):
        uids = [instance.get("SOPClassUID"), instance.get("SOPInstanceUID")]
        complaint = (
            "An instance entry must provide an object with 2 string fiels: "
            '"SOPClassUID" and "SOPInstanceUID"'
        )
    else:
        raise BadFormat("JSON array or object is expected to specify one instance to be queried")
    if len(uids) != 2 or not all(isinstance(uid, str) for uid in uids):
        raise BadFormat(complaint)
    if not all(_UID.fullmatch(uid) for uid in uids):
        raise BadFormat("A SOP Class or Instance UID is no UID")
    return SopReference(*uids)

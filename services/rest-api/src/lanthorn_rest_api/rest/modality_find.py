"""Asking remote application entities: queries, worklists, the old find routes (reference 2.12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.dicom.query_identifier import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    dataset_of_json,
)
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import BadParameterType, BadRequest
from lanthorn_core.model import Level, RemoteAE
from lanthorn_core.ports.remote_queries import RemoteQuestion
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.levels import parse_level
from lanthorn_rest_api.parameters import BadFormat, TagFormat
from lanthorn_rest_api.remote_find import (
    body_format,
    find_command,
    formatted_keys,
    found,
    keep_query,
    level_field,
    parse_keys,
    worklist_command,
)
from lanthorn_rest_api.remote_requests import called_remote, object_body
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter()

_NO_OBJECT: Final = "Must provide a JSON object"
_ACCESSION_NUMBER: Final = 0x0008_0050

_TEMPLATES: Final[dict[Level, tuple[str, ...]]] = {
    Level.PATIENT: (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs"),
    ),
    Level.STUDY: (
        *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
        *("StudyDescription", "PatientID", "StudyInstanceUID", "StudyID"),
    ),
    Level.SERIES: (
        *("SeriesDate", "SeriesTime", "AccessionNumber", "Modality", "SeriesDescription"),
        *("OperatorsName", "PatientID", "BodyPartExamined", "ProtocolName", "StudyInstanceUID"),
        *("SeriesInstanceUID", "SeriesNumber", "PerformedProcedureStepDescription"),
    ),
    Level.INSTANCE: (
        *("InstanceCreationDate", "InstanceCreationTime", "SOPInstanceUID", "AccessionNumber"),
        *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber"),
    ),
}
"""What the old find routes ask for."""


@router.post("/modalities/{name}/query")
async def query(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask a remote application entity by C-FIND, and keep what it answers."""
    await services.remote_aes.get(name)
    body = await object_body(request, _NO_OBJECT)
    level = parse_level(level_field(body, "The JSON body must contain field Level"))
    if not isinstance(body.get("Query", {}), dict):
        raise BadFormat("The field Query must contain a JSON object")
    if not isinstance(body.get("LocalAet", ""), str):
        raise BadFormat("The field LocalAet must contain a string")
    normalize = body.get("Normalize", True)
    if not isinstance(normalize, bool):
        raise BadFormat("The field Normalize must contain a Boolean")
    question = RemoteQuestion(
        modality=name,
        remote=await called_remote(services, name, body),
        level=level,
        keys=formatted_keys(parse_keys(body.get("Query", {}))),
    )
    return json_answer(await keep_query(services, question, normalize=normalize))


@router.post("/modalities/{name}/find-worklist")
async def find_worklist(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask a remote application entity for worklist entries."""
    await services.remote_aes.get(name)
    body = await object_body(request, _NO_OBJECT)
    style: TagFormat = "simplify"
    document: Any = body
    options: dict[str, Any] = {}
    if "Query" in body:
        document, options = body["Query"], body
        if not isinstance(document, dict):
            raise BadParameterType
        style = body_format(body, "simplify")
    command = worklist_command(
        await called_remote(services, name, options),
        dataset_of_json(document),
        services.settings.default_encoding,
    )
    return json_answer(await found(services, command, style))


@router.post("/modalities/{name}/find-patient")
async def find_patients(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask for patients (deprecated in favour of ``query``)."""
    return await _find_one_level(name, request, services, Level.PATIENT)


@router.post("/modalities/{name}/find-study")
async def find_studies(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask for studies of a patient or an order (deprecated in favour of ``query``)."""
    return await _find_one_level(name, request, services, Level.STUDY)


@router.post("/modalities/{name}/find-series")
async def find_series(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask for series of a study (deprecated in favour of ``query``)."""
    return await _find_one_level(name, request, services, Level.SERIES, [STUDY_INSTANCE_UID])


@router.post("/modalities/{name}/find-instance")
async def find_instances(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask for instances of a series (deprecated in favour of ``query``)."""
    needed = [STUDY_INSTANCE_UID, SERIES_INSTANCE_UID]
    return await _find_one_level(name, request, services, Level.INSTANCE, needed)


@router.post("/modalities/{name}/find")
async def find_everything(name: str, request: Request, services: ServicesDep) -> Response:
    """Ask for patients with their studies and series (deprecated in favour of ``query``)."""
    remote = await called_remote(services, name, {})
    keys = await _old_keys(request)
    patients = await _find(services, remote, Level.PATIENT, keys)
    for patient in patients:
        of_patient = keys | _copied(patient, ["PatientID"])
        patient["Studies"] = await _find(services, remote, Level.STUDY, of_patient)
        for study in patient["Studies"]:
            of_study = of_patient | _copied(study, ["StudyInstanceUID"])
            study["Series"] = await _find(services, remote, Level.SERIES, of_study)
    return json_answer(patients)


async def _find_one_level(
    name: str, request: Request, services: Services, level: Level, needed: Sequence[int] = ()
) -> Response:
    remote = await called_remote(services, name, {})
    keys = await _old_keys(request)
    if level is not Level.PATIENT and not any(
        len(keys.get(tag, "")) > 2 for tag in (PATIENT_ID, _ACCESSION_NUMBER)
    ):
        raise BadRequest("Expected a PatientID or AccessionNumber of more than two characters")
    for tag in needed:
        if len(keys.get(tag, "")) <= 2:
            raise BadRequest("Expected the unique keys of the levels above")
    return json_answer(await _find(services, remote, level, keys))


async def _old_keys(request: Request) -> dict[int, str]:
    try:
        body = await object_body(request, _NO_OBJECT)
    except BadFormat as error:
        raise BadRequest(_NO_OBJECT) from error
    keys: dict[int, str] = {}
    for name, value in body.items():
        tag = parse_tag(name)
        if isinstance(value, dict | list):
            raise BadRequest(f"Expected a string in field: {name}")
        keys[tag] = "" if value is None else str(value)
    return keys


async def _find(
    services: Services, remote: RemoteAE, level: Level, keys: dict[int, str]
) -> list[dict[str, Any]]:
    command = find_command(
        remote,
        level,
        dict.fromkeys(map(parse_tag, _TEMPLATES[level]), "") | keys,
        normalize=True,
        default_encoding=services.settings.default_encoding,
    )
    return await found(services, command, "simplify")


def _copied(answer: dict[str, Any], names: Sequence[str]) -> dict[int, str]:
    return {parse_tag(name): answer[name] for name in names if isinstance(answer.get(name), str)}

"""Queries of remote application entities, their answers, and what follows of them (2.13)."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.commands import FindAnswer, RetrieveIdentifier
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.query_identifier import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
)
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import BadParameterType, InvalidParameter, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.remote_queries import RemoteQuery, RemoteQuestion
from lanthorn_rest_api.answers import empty_answer, json_answer, text_answer
from lanthorn_rest_api.job_requests import answer_job, job_options
from lanthorn_rest_api.modality_entries import check_retrieve_method, unsigned_seconds
from lanthorn_rest_api.parameters import BadFormat, flag, tag_format
from lanthorn_rest_api.remote_find import (
    answer_dataset,
    answers_json,
    body_format,
    formatted_keys,
    keep_query,
    keys_json,
    parse_keys,
)
from lanthorn_rest_api.remote_requests import ae_title, ae_title_field, object_body
from lanthorn_rest_api.remote_retrieves import (
    IDENTIFYING,
    get_request,
    move_request,
    retrieve_identifier,
)
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter()

_BATCH: Final = 500
_BELOW: Final[dict[Level, tuple[str, ...]]] = {
    Level.PATIENT: ("query-studies", "query-series", "query-instances"),
    Level.STUDY: ("query-series", "query-instances"),
    Level.SERIES: ("query-instances",),
    Level.INSTANCE: (),
}
_ABOVE: Final[dict[Level, tuple[int, ...]]] = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_INSTANCE_UID,),
    Level.SERIES: (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
    Level.INSTANCE: (),
}
"""Keys of an answer that a query for what is below it has."""


@router.get("/queries")
async def list_queries(services: ServicesDep) -> Response:
    """List the queries that are kept."""
    return json_answer(list(await services.records.queries.ids()))


@router.get("/queries/{query_id}")
async def list_query_routes(query_id: str, services: ServicesDep) -> Response:
    """List what can be asked of a query."""
    await services.records.queries.get(query_id)
    return json_answer(["answers", "level", "modality", "query", "retrieve"])


@router.delete("/queries/{query_id}")
async def delete_query(query_id: str, services: ServicesDep) -> Response:
    """Forget a query."""
    await services.records.queries.delete(query_id)
    return empty_answer()


@router.get("/queries/{query_id}/level")
async def show_level(query_id: str, services: ServicesDep) -> Response:
    """Tell the level of a query."""
    return text_answer((await services.records.queries.get(query_id)).level.value)


@router.get("/queries/{query_id}/modality")
async def show_modality(query_id: str, services: ServicesDep) -> Response:
    """Tell which remote application entity was asked."""
    return text_answer((await services.records.queries.get(query_id)).modality)


@router.get("/queries/{query_id}/query")
async def show_keys(query_id: str, request: Request, services: ServicesDep) -> Response:
    """Show what was asked, as the client wrote it."""
    query = await services.records.queries.get(query_id)
    return json_answer(keys_json(query.keys, tag_format(request.query_params, default="full")))


@router.get("/queries/{query_id}/answers")
async def list_answers(query_id: str, request: Request, services: ServicesDep) -> Response:
    """List the answers, by number or with their tags."""
    query = await services.records.queries.get(query_id)
    if not flag(request.query_params, "expand"):
        return json_answer([str(number) for number in range(query.answer_count)])
    style = tag_format(request.query_params, default="full")
    shown: list[dict[str, Any]] = []
    for since in range(0, query.answer_count, _BATCH):
        batch = await services.records.queries.answers(query_id, since=since, limit=_BATCH)
        shown += await answers_json(services, batch, style)
    return json_answer(shown)


@router.get("/queries/{query_id}/answers/{number}")
async def list_answer_routes(query_id: str, number: str, services: ServicesDep) -> Response:
    """List what can be asked of an answer."""
    query = await services.records.queries.get(query_id)
    _position(query, number)
    return json_answer(["content", "retrieve", *_BELOW[query.level]])


@router.get("/queries/{query_id}/answers/{number}/content")
async def show_answer(
    query_id: str, number: str, request: Request, services: ServicesDep
) -> Response:
    """Show an answer."""
    answer = await _answer(services, await services.records.queries.get(query_id), number)
    style = tag_format(request.query_params, default="full")
    return json_answer((await answers_json(services, [answer], style))[0])


@router.post("/queries/{query_id}/answers/{number}/retrieve")
async def retrieve_one(
    query_id: str, number: str, request: Request, services: ServicesDep
) -> Response:
    """Retrieve what one answer stands for."""
    query = await services.records.queries.get(query_id)
    answer = await _answer(services, query, number)
    return await _retrieve(services, request, query, [_identifier(services, query, answer)])


@router.post("/queries/{query_id}/retrieve")
async def retrieve_all(query_id: str, request: Request, services: ServicesDep) -> Response:
    """Retrieve what all answers stand for."""
    query = await services.records.queries.get(query_id)
    identifiers: list[RetrieveIdentifier] = []
    for since in range(0, query.answer_count, _BATCH):
        batch = await services.records.queries.answers(query_id, since=since, limit=_BATCH)
        identifiers += [_identifier(services, query, answer) for answer in batch]
    return await _retrieve(services, request, query, identifiers)


@router.post("/queries/{query_id}/answers/{number}/query-studies")
async def query_studies(
    query_id: str, number: str, request: Request, services: ServicesDep
) -> Response:
    """Ask for the studies of a patient that was answered."""
    return await _query_below(services, request, query_id, number, Level.STUDY)


@router.post("/queries/{query_id}/answers/{number}/query-series")
async def query_series(
    query_id: str, number: str, request: Request, services: ServicesDep
) -> Response:
    """Ask for the series of a patient or study that was answered."""
    return await _query_below(services, request, query_id, number, Level.SERIES)


@router.post("/queries/{query_id}/answers/{number}/query-instances")
async def query_instances(
    query_id: str, number: str, request: Request, services: ServicesDep
) -> Response:
    """Ask for the instances of a patient, study or series that was answered."""
    return await _query_below(services, request, query_id, number, Level.INSTANCE)


async def _query_below(
    services: Services, request: Request, query_id: str, number: str, level: Level
) -> Response:
    query = await services.records.queries.get(query_id)
    if level.depth <= query.level.depth:
        raise UnknownResource
    body = await object_body(request, "Must provide a JSON object")
    answer = await _answer(services, query, number)
    of_answer = _texts(services, answer, _ABOVE[query.level])
    keys = parse_keys(body.get("Query", {})) | of_answer
    question = RemoteQuestion(
        modality=query.modality,
        remote=msgspec.structs.replace(
            query.remote, timeout_s=unsigned_seconds(body) or query.remote.timeout_s
        ),
        level=level,
        keys=formatted_keys(keys),
    )
    return json_answer(await keep_query(services, question, normalize=True))


async def _retrieve(
    services: Services,
    request: Request,
    query: RemoteQuery,
    identifiers: list[RetrieveIdentifier],
) -> Response:
    body = _retrieve_body(await request.body())
    settings = services.settings
    method = body.get("RetrieveMethod", query.remote.retrieve_method)
    if not isinstance(method, str):
        raise BadFormat("String value expected in field: RetrieveMethod")
    check_retrieve_method(method)
    if method == "SystemDefault":
        method = settings.dicom_default_retrieve_method
    if not isinstance(body.get("Timeout", 0), int):
        raise BadParameterType
    remote = msgspec.structs.replace(
        query.remote, timeout_s=unsigned_seconds(body) or query.remote.timeout_s
    )
    options = job_options(body)
    style = body_format(body, "short")
    if method == "C-GET":
        job = get_request(remote, identifiers, options, style=style)
    else:
        target = ae_title_field(body, "TargetAet") or settings.dicom_aet
        job = move_request(remote, target, identifiers, options, style=style)
    return await answer_job(services.jobs, job, synchronous=options.is_synchronous)


def _retrieve_body(content: bytes) -> dict[str, Any]:
    """Read a body: nothing, the AE title of the target as it is or in quotes, or an object."""
    text = content.decode("utf-8", "replace").strip()
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError:
        return {"TargetAet": ae_title(text)}
    if isinstance(document, dict):
        return document
    return {"TargetAet": ae_title(document if isinstance(document, str) else text)}


def _position(query: RemoteQuery, number: str) -> int:
    digits = number.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise BadParameterType("Syntax error in some user-supplied data")
    if digits != number or len(digits) > 9 or int(digits) >= query.answer_count:
        raise InvalidParameter
    return int(digits)


async def _answer(services: Services, query: RemoteQuery, number: str) -> FindAnswer:
    position = _position(query, number)
    found = await services.records.queries.answers(query.query_id, since=position, limit=1)
    if not found:
        raise UnknownResource
    return found[0]


def _identifier(services: Services, query: RemoteQuery, answer: FindAnswer) -> RetrieveIdentifier:
    return retrieve_identifier(query.level, _texts(services, answer, IDENTIFYING))


def _texts(services: Services, answer: FindAnswer, tags: tuple[int, ...]) -> dict[int, str]:
    """Read those of some tags that an answer has."""
    shown = to_orthanc_json(
        answer_dataset(answer), style="short", default_encoding=services.settings.default_encoding
    )
    texts = {tag: shown.get(format_tag(tag)) for tag in tags}
    return {tag: text for tag, text in texts.items() if isinstance(text, str)}

"""Remote application entities: which there are, and whether they answer (reference 2.12)."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.commands import EchoRemote
from lanthorn_core.errors import InexistentItem, InvalidParameter, UnknownResource
from lanthorn_core.runtime.remote import remote_ae_json
from lanthorn_rest_api.answers import action_answer, empty_answer, json_answer
from lanthorn_rest_api.bodies import formatted_boolean
from lanthorn_rest_api.modality_entries import check_symbolic_name, parse_remote_ae
from lanthorn_rest_api.parameters import BadFormat, flag, read_json
from lanthorn_rest_api.remote_requests import any_body, called_remote
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

CHILDREN: Final = (
    *("configuration", "echo", "find", "find-instance", "find-patient", "find-series"),
    *("find-study", "find-worklist", "get", "move", "query", "storage-commitment", "store"),
    "store-straight",
)


@router.get("/modalities")
async def list_modalities(request: Request, services: ServicesDep) -> Response:
    """List the remote application entities, by name or with their configuration."""
    known = await services.remote_aes.all()
    if flag(request.query_params, "expand"):
        return json_answer({name: remote_ae_json(remote) for name, remote in known.items()})
    return json_answer(list(known))


@router.get("/modalities/{name}")
async def list_modality_routes(name: str, services: ServicesDep) -> Response:
    """List what can be asked of a remote application entity."""
    if name not in await services.remote_aes.all():
        raise UnknownResource
    return json_answer(list(CHILDREN))


@router.get("/modalities/{name}/configuration")
async def show_modality(name: str, services: ServicesDep) -> Response:
    """Show the configuration of a remote application entity."""
    return json_answer(remote_ae_json(await services.remote_aes.get(name)))


@router.put("/modalities/{name}")
async def put_modality(name: str, request: Request, services: ServicesDep) -> Response:
    """Add or replace a remote application entity; every process knows it at once."""
    try:
        document = await read_json(request)
    except InvalidParameter as error:
        raise BadFormat from error
    remote = parse_remote_ae(document)
    check_symbolic_name(name)
    await services.remote_aes.put(name, remote)
    return empty_answer()


@router.delete("/modalities/{name}")
async def delete_modality(name: str, services: ServicesDep) -> Response:
    """Forget a remote application entity, in every process at once."""
    if not await services.remote_aes.delete(name):
        raise InexistentItem(f"Unknown DICOM modality with symbolic name: {name}")
    return empty_answer()


@router.post("/modalities/{name}/echo")
async def echo(name: str, request: Request, services: ServicesDep) -> Response:
    """Verify that a remote application entity answers."""
    document = await any_body(request)
    body = document if isinstance(document, dict) else {}
    check_find = formatted_boolean(
        body, "CheckFind", default=services.settings.dicom_echo_checks_find
    )
    # As in Orthanc, the body of an echo does not choose our AE title.
    remote = await called_remote(
        services, name, {key: value for key, value in body.items() if key == "Timeout"}
    )
    await services.commands.echo(EchoRemote(remote=remote, check_find=check_find))
    return action_answer()

"""Peers as they are configured (reference 2.14)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.errors import UnknownResource
from lanthorn_core.runtime.settings import Peer
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.parameters import flag
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()


@router.get("/peers")
async def list_peers(request: Request, services: ServicesDep) -> Response:
    """List the peers, by name or with their configuration."""
    peers = services.settings.orthanc_peers
    if flag(request.query_params, "expand"):
        return json_answer({name: peer_json(peer) for name, peer in peers.items()})
    return json_answer(sorted(peers))


@router.get("/peers/{name}")
async def list_peer_routes(name: str, services: ServicesDep) -> Response:
    """List what can be asked of a peer."""
    if name not in services.settings.orthanc_peers:
        raise UnknownResource
    return json_answer(["configuration"])


@router.get("/peers/{name}/configuration")
async def show_peer(name: str, services: ServicesDep) -> Response:
    """Show the configuration of a peer."""
    peer = services.settings.orthanc_peers.get(name)
    if peer is None:
        raise UnknownResource(f"No peer with symbolic name: {name}")
    return json_answer(peer_json(peer))


def peer_json(peer: Peer) -> dict[str, Any]:
    """Show a peer without its secrets: of its headers the names, of its password that it is."""
    answer: dict[str, Any] = {
        "HttpHeaders": sorted(peer.http_headers),
        "Pkcs11": peer.pkcs11,
        "Timeout": peer.timeout_s,
        "Url": peer.url,
    }
    if peer.username:
        answer |= {"Username": peer.username, "Password": None}
    return answer

"""What the server is, and how much it holds (reference 2.1)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from lanthorn_core.dicom.identifiers import public_id
from lanthorn_core.dicom.maintags import signature
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import LEVELS
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

ORTHANC_VERSION: Final = "1.12.11"
"""Of the Orthanc whose API this is: clients choose by it what they ask."""

API_VERSION: Final = 30

EXPLORER_EXTENSIONS: Final = "explorer.js"
"""Listed among the plugins by Orthanc, though it is a route."""

_MEGABYTE: Final = 1 << 20


@router.get("/system")
async def show_system(services: ServicesDep) -> Response:
    """Describe the server to clients that adapt to it."""
    return json_answer(system_json(services.settings))


def system_json(settings: Settings) -> dict[str, Any]:
    """Describe the server."""
    extra = settings.extra_main_dicom_tags
    return {
        "ApiVersion": API_VERSION,
        "Capabilities": {"HasExtendedChanges": True, "HasExtendedFind": True},
        "CheckRevisions": settings.check_revisions,
        "DatabaseBackendPlugin": None,
        "DatabaseServerIdentifier": public_id(settings.name, settings.dicom_aet),
        "DatabaseVersion": 6,
        "DicomAet": settings.dicom_aet,
        "DicomDefaultRetrieveMethod": settings.dicom_default_retrieve_method,
        "DicomPort": settings.dicom_port,
        "HasLabels": True,
        "HttpPort": settings.http_port,
        "IngestTranscoding": "",
        "IsHttpServerSecure": (
            settings.authentication_enabled or not settings.remote_access_allowed
        ),
        "MainDicomTags": {
            str(level): signature(level, [parse_tag(tag) for tag in extra.get(level.value, ())])
            for level in LEVELS
        },
        "MaximumPatientCount": settings.maximum_patient_count,
        "MaximumStorageMode": settings.maximum_storage_mode,
        "MaximumStorageSize": settings.maximum_storage_size,
        "Name": settings.name,
        "OverwriteInstances": settings.overwrite_instances,
        "PatientLevelEnabled": True,
        "PluginsEnabled": True,
        "ReadOnly": settings.read_only,
        "StorageAreaPlugin": None,
        "StorageCompression": False,
        "UserMetadata": dict(settings.user_metadata),
        "Version": ORTHANC_VERSION,
    }


@router.get("/statistics", dependencies=[Depends(current_index)])
async def show_statistics(services: ServicesDep) -> Response:
    """Count everything."""
    counts = await services.reader.statistics()
    megabytes = counts.size_bytes // _MEGABYTE
    return json_answer(
        {
            "CountPatients": counts.patients,
            "CountStudies": counts.studies,
            "CountSeries": counts.series,
            "CountInstances": counts.instances,
            "TotalDiskSize": str(counts.size_bytes),
            "TotalDiskSizeMB": megabytes,
            "TotalUncompressedSize": str(counts.size_bytes),
            "TotalUncompressedSizeMB": megabytes,
        }
    )


@router.get("/plugins")
async def list_plugins(services: ServicesDep) -> Response:
    """List the plugins; what others need plugins for is built in."""
    return json_answer([EXPLORER_EXTENSIONS, *_built_in(services.settings)])


@router.get(f"/plugins/{EXPLORER_EXTENSIONS}")
async def explorer_extensions() -> Response:
    """Give what plugins add to the explorer of Orthanc."""
    text = "// Extensions to Orthanc Explorer by the registered plugins\n"
    return Response(text, headers={"Content-Type": "application/javascript"})


@router.get("/plugins/{name}")
async def show_plugin(name: str, services: ServicesDep) -> Response:
    """Describe a plugin, or what Orthanc has as one."""
    description = _built_in(services.settings).get(name)
    if description is None:
        raise UnknownResource
    return json_answer(
        {
            "Description": description,
            "ExtendsOrthancExplorer": False,
            "ID": name,
            "Version": ORTHANC_VERSION,
        }
    )


def _built_in(settings: Settings) -> dict[str, str]:
    """Services that clients look for among the plugins, with what they are."""
    if not settings.worklists.enable:
        return {}
    return {"worklists": "Serves DICOM modality worklists, and lets REST clients manage them."}

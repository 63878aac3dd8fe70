"""C-MOVE and C-GET as jobs: what is asked of the remote AE, and what clients see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lanthorn_core.commands import GetJob, MoveJob, RetrieveIdentifier, to_parameters
from lanthorn_core.dicom.query_identifier import (
    ACCESSION_NUMBER,
    LEVEL_TERMS,
    PATIENT_ID,
    QUERY_RETRIEVE_LEVEL,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Keys,
)
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import BadRequest
from lanthorn_core.model import Level, RemoteAE
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_rest_api.job_requests import JobOptions
from lanthorn_rest_api.parameters import TagFormat
from lanthorn_rest_api.remote_find import formatted_keys, keys_json

SOP_CLASSES_IN_STUDY: Final = 0x0008_0062

IDENTIFYING: Final = (
    *(SOP_INSTANCE_UID, ACCESSION_NUMBER, PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
)
"""Tags of a C-FIND answer that identify what shall be retrieved."""

_UNIQUE: Final[Mapping[Level, tuple[int, ...]]] = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_INSTANCE_UID,),
    Level.SERIES: (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
    Level.INSTANCE: (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID),
}
"""Unique keys to send at each level: of Patient Root for patients, else of Study Root."""


def retrieve_identifier(level: Level, keys: Keys) -> RetrieveIdentifier:
    """Make what one C-MOVE or C-GET asks for of what a client says of a resource."""
    level_key = {QUERY_RETRIEVE_LEVEL: LEVEL_TERMS[level.value]}
    sent = {tag: keys[tag] for tag in _UNIQUE[level] if keys.get(tag)}
    shown = dict(sorted((level_key | dict(keys)).items()))
    classes = keys.get(SOP_CLASSES_IN_STUDY, "").split("\\")
    return RetrieveIdentifier(
        level=level,
        keys=formatted_keys(level_key | sent),
        query=formatted_keys(shown),
        sop_class_uids=[uid.strip() for uid in classes if uid.strip()],
    )


def move_request(
    remote: RemoteAE,
    target_ae_title: str,
    identifiers: Sequence[RetrieveIdentifier],
    options: JobOptions,
    *,
    style: TagFormat = "short",
) -> JobRequest:
    """Make the job that has a remote AE send resources to a third one.

    Raises
    ------
    BadRequest
        A resource lacks a key that its level needs.
    """
    for identifier in identifiers:
        _require(identifier, _UNIQUE[identifier.level])
    job = MoveJob(
        remote=remote,
        target_ae_title=target_ae_title,
        identifiers=list(identifiers),
        permissive=options.is_permissive,
    )
    content = _content(remote, identifiers, style) | {"TargetAet": target_ae_title}
    return JobRequest(
        type="DicomMoveScu",
        parameters=to_parameters(job),
        content=content,
        priority=options.priority,
        user_data=options.user_data,
    )


def get_request(
    remote: RemoteAE,
    identifiers: Sequence[RetrieveIdentifier],
    options: JobOptions,
    *,
    style: TagFormat = "short",
) -> JobRequest:
    """Make the job that fetches resources of a remote AE.

    Raises
    ------
    BadRequest
        A resource lacks the key of its level; those above it are left to the remote AE.
    """
    for identifier in identifiers:
        _require(identifier, _UNIQUE[identifier.level][-1:])
    job = GetJob(remote=remote, identifiers=list(identifiers), permissive=options.is_permissive)
    return JobRequest(
        type="DicomGetScu",
        parameters=to_parameters(job),
        content=_content(remote, identifiers, style),
        priority=options.priority,
        user_data=options.user_data,
    )


def _require(identifier: RetrieveIdentifier, tags: Sequence[int]) -> None:
    for tag in map(format_tag, tags):
        if tag not in identifier.keys:
            raise BadRequest(f"Missing tag {tag}")


def _content(
    remote: RemoteAE, identifiers: Sequence[RetrieveIdentifier], style: TagFormat
) -> dict[str, Any]:
    return {
        "Details": [
            {"DimseErrorStatus": 0, "Query": identifier.query, "ReceivedInstancesIds": []}
            for identifier in identifiers
        ],
        "LocalAet": remote.local_ae_title,
        "Query": [keys_json(identifier.query, style) for identifier in identifiers],
        "RemoteAet": remote.ae_title,
    }

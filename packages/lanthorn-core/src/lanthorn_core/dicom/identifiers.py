"""Orthanc's public identifiers: SHA-1 hashes of the DICOM identifiers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells an instance from every other: its place in the four levels."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


class PublicIds(NamedTuple):
    """The identifiers by which clients of the REST API know an instance and its parents."""

    patient: str
    study: str
    series: str
    instance: str


def public_id(*parts: str) -> str:
    """Hash the identifiers of a resource and of its parents, outermost first.

    Parameters
    ----------
    *parts : str
        Patient ID, then as many of Study Instance UID, Series Instance UID and SOP Instance UID
        as the level needs; stripped of padding.

    Returns
    -------
    str
        40 lower-case hexadecimal digits in five groups of eight, joined by ``-``.
    """
    joined = "|".join(parts).encode("utf-8", "surrogatepass")
    digest = hashlib.sha1(joined, usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:16]}-{digest[16:24]}-{digest[24:32]}-{digest[32:]}"


def public_ids(identity: Identity) -> PublicIds:
    """Return the public identifiers of an instance and of its three parents."""
    patient, study = identity.patient_id, identity.study_instance_uid
    series, instance = identity.series_instance_uid, identity.sop_instance_uid
    return PublicIds(
        public_id(patient),
        public_id(patient, study),
        public_id(patient, study, series),
        public_id(patient, study, series, instance),
    )

"""What goes into an archive: the series below some resources, with their folders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from lanthorn_core.errors import InexistentItem
from lanthorn_core.model import Level
from lanthorn_core.ports.index import IndexReader, Resource, StoredInstance
from lanthorn_rest_api.archive_names import (
    FolderNames,
    file_names,
    patient_folder,
    series_folder,
    study_folder,
)


@dataclass(frozen=True, slots=True)
class ArchivedSeries:
    """A series and the folder that it goes into; `only` leaves out other instances."""

    folder: str
    series: Resource
    only: frozenset[str] | None = None


async def archived_series(
    reader: IndexReader, roots: Sequence[tuple[Level, str]]
) -> list[ArchivedSeries]:
    """Find what is below resources, and name the folders.

    Parameters
    ----------
    reader : IndexReader
        Knows the resources.
    roots : sequence of (Level, str)
        The resources wanted; what is named twice comes once.

    Raises
    ------
    InexistentItem
        One of them does not exist.
    """
    wanted: dict[str, frozenset[str] | None] = {}
    # Studies keep a copy of their patient's tags, which need not be what the patient has.
    patient_tags: dict[str | None, Mapping[str, str]] = {}
    for level, public_id in roots:
        root = await _existing(reader, level, public_id)
        if level is Level.PATIENT:
            patient_tags[public_id] = root.main_tags
        for series_id, only in await _series_below(reader, root):
            before = wanted.get(series_id, frozenset())
            wanted[series_id] = None if only is None or before is None else before | only
    planned = []
    # Orthanc sorts by identifier, which decides who gets the plain name and who ``-2``.
    found = await reader.resources(Level.SERIES, list(wanted))
    found.sort(key=lambda series: (series.parent_id or "", series.public_id))
    study_folders: dict[str, str] = {}
    series_names: dict[str, FolderNames] = {}
    patients: dict[str | None, tuple[str, FolderNames]] = {}
    patient_names = FolderNames()
    for series in found:
        study_id = series.parent_id or ""
        if study_id not in study_folders:
            study = await _existing(reader, Level.STUDY, study_id)
            if study.parent_id not in patients:
                tags = patient_tags.get(study.parent_id, study.patient_main_tags)
                folder = patient_names.unique(patient_folder(tags))
                patients[study.parent_id] = folder, FolderNames()
            upper, names = patients[study.parent_id]
            study_folders[study_id] = f"{upper}/{names.unique(study_folder(study.main_tags))}"
            series_names[study_id] = FolderNames()
        name = series_names[study_id].unique(series_folder(series.main_tags))
        folder = f"{study_folders[study_id]}/{name}"
        planned.append(ArchivedSeries(folder, series, wanted[series.public_id]))
    return planned


async def archived_files(
    reader: IndexReader, planned: Sequence[ArchivedSeries]
) -> AsyncIterator[tuple[str, StoredInstance]]:
    """Name the files, one series after the other; each is looked up when its turn comes."""
    for archived in planned:
        series = archived.series
        indexes = dict(zip(series.child_ids, series.child_indexes, strict=True))
        instances = [
            instance
            for instance in await reader.instances(Level.SERIES, series.public_id)
            if archived.only is None or instance.public_id in archived.only
        ]
        instances.sort(
            key=lambda instance: (indexes.get(instance.public_id) or 0, instance.public_id)
        )
        names = file_names(
            series.main_tags.get("Modality", ""),
            [indexes.get(instance.public_id) for instance in instances],
        )
        for name, instance in zip(names, instances, strict=True):
            yield f"{archived.folder}/{name}", instance


async def _series_below(
    reader: IndexReader, root: Resource
) -> list[tuple[str, frozenset[str] | None]]:
    if root.level is Level.INSTANCE:
        return [(root.parent_id or "", frozenset({root.public_id}))]
    if root.level is Level.SERIES:
        return [(root.public_id, None)]
    studies = [root]
    if root.level is Level.PATIENT:
        studies = await reader.resources(Level.STUDY, root.child_ids)
    return [(series_id, None) for study in studies for series_id in study.child_ids]


async def _existing(reader: IndexReader, level: Level, public_id: str) -> Resource:
    resource = await reader.resource(level, public_id)
    if resource is None:
        raise InexistentItem(f"Missing resource while creating an archive: {public_id}")
    return resource

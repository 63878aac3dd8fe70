"""C-FIND in a crowd: how long an answer takes with 100,000 studies in the index.

The rows are written into the index directly: what is measured is the search, not the ingest.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from pydicom.dataset import Dataset

from tests.benchmarks import loads
from tests.benchmarks.rows import every_found_patient
from tests.benchmarks.servers import Server

_REQUESTS = 500

_PATIENTS = """
    INSERT INTO patient (public_id, main_tags, updated_at, is_stable, study_count, series_count,
                         instance_count)
    SELECT 'crowd-patient-' || n,
           jsonb_build_object('PatientID', 'C' || lpad(n::text, 7, '0'),
                              'PatientName', 'Crowd' || (n % 977) || '^' || n,
                              'PatientBirthDate', '19700101', 'PatientSex', 'O'),
           now(), true, 1, 1, 1
    FROM generate_series(1, $1::int) AS n
"""
_STUDIES = """
    INSERT INTO study (patient_pk, public_id, main_tags, patient_tags, updated_at, is_stable,
                       series_count, instance_count)
    SELECT patient_pk, replace(public_id, 'patient', 'study'),
           jsonb_build_object(
               'StudyInstanceUID', '1.2.826.0.1.3680043.9.9999.7.' || patient_pk,
               'StudyDate', to_char(date '2000-01-01' + (patient_pk % 9000)::int, 'YYYYMMDD'),
               'StudyTime', '101500', 'AccessionNumber', 'A' || patient_pk, 'StudyID', '1',
               'StudyDescription', 'Crowd'),
           main_tags, now(), true, 1, 1
    FROM patient WHERE public_id LIKE 'crowd-%'
"""
_SERIES = """
    INSERT INTO series (study_pk, public_id, main_tags, updated_at, is_stable, instance_count)
    SELECT study_pk, replace(public_id, 'study', 'series'),
           jsonb_build_object('Modality', 'CT', 'SeriesInstanceUID',
                              main_tags ->> 'StudyInstanceUID' || '.1'),
           now(), true, 1
    FROM study WHERE public_id LIKE 'crowd-%'
"""


async def measure_crowd(server: Server, studies: int) -> list[dict[str, Any]]:
    """Fill the index, ask in several ways, print p50 and p95 of each."""
    connection = await asyncpg.connect(server.database_url)
    try:
        for statement, *arguments in ((_PATIENTS, studies), (_STUDIES,), (_SERIES,)):
            await connection.execute(statement, *arguments, timeout=600)
        await connection.execute("ANALYZE")
        questions = {
            "by PatientID": _question(PatientID="C0054321"),
            "by StudyInstanceUID": _question(
                StudyInstanceUID=await connection.fetchval(
                    "SELECT main_tags ->> 'StudyInstanceUID' FROM study "
                    "WHERE public_id = 'crowd-study-54321'"
                )
            ),
            "by AccessionNumber": _question(
                AccessionNumber=await connection.fetchval(
                    "SELECT main_tags ->> 'AccessionNumber' FROM study "
                    "WHERE public_id = 'crowd-study-54321'"
                )
            ),
            "by PatientName prefix": _question(PatientName="Crowd12^1*"),
            "by StudyDate of one day": _question(StudyDate="20100301"),
            "by StudyDate range of two days, with counts": _question(
                StudyDate="20100301-20100302",
                ModalitiesInStudy="",
                NumberOfStudyRelatedSeries="",
                NumberOfStudyRelatedInstances="",
            ),
        }
        found = {}
        for name, identifier in questions.items():
            found[name] = await _count(connection, identifier)
    finally:
        await connection.close()
    print(f"\n| C-FIND at study level among {studies:,} studies | matches | p50 ms | p95 ms |")
    print("|---|---|---|---|")
    lines = []
    for name, identifier in questions.items():
        (outcome,) = loads.find(server.target, identifier, found[name], _REQUESTS, 1)
        latencies = sorted(outcome.latencies_s)
        p50_ms = latencies[len(latencies) // 2] * 1000
        p95_ms = latencies[int(len(latencies) * 0.95)] * 1000
        print(f"| {name} | {found[name]} | {p50_ms:.2f} | {p95_ms:.2f} |", flush=True)
        lines.append({"question": name, "matches": found[name], "p50": p50_ms, "p95": p95_ms})
    return lines


def _question(**keys: str) -> Dataset:
    identifier = every_found_patient()
    identifier.PatientName = ""
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


async def _count(connection: asyncpg.Connection, identifier: Dataset) -> int:
    """Count by a statement of our own what the identifier should find."""
    patterns = {"PatientID": "patient_tags", "PatientName": "patient_tags"}
    conditions, values = [], []
    for keyword in ("PatientID", "StudyInstanceUID", "AccessionNumber", "PatientName"):
        if value := str(identifier.get(keyword, "")):
            column = patterns.get(keyword, "main_tags")
            values.append(value.replace("*", "%"))
            conditions.append(f"{column} ->> '{keyword}' LIKE ${len(values)}")
    if identifier.StudyDate:
        first, _, last = str(identifier.StudyDate).partition("-")
        values += [first, last or first]
        conditions.append(
            f"main_tags ->> 'StudyDate' BETWEEN ${len(values) - 1} AND ${len(values)}"
        )
    where = " AND ".join(conditions)
    return int(await connection.fetchval(f"SELECT count(*) FROM study WHERE {where}", *values))

"""The index and the matching engine in memory agree on every constraint."""

from __future__ import annotations

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from lanthorn_core.adapters.index_postgres.search import build
from lanthorn_core.dicom.dataset_matching import DatasetKeys, matches_dataset, moment_range
from lanthorn_core.dicom.matching import matches, parse_constraint, widen_times
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery

PATIENT_ID = 0x0010_0020
BIRTH_DATE = 0x0010_0030
TEXTS = st.text("aAbÄä%_.\\'\" 1^", max_size=6).map(lambda text: text.strip(" "))
PATTERNS = st.text("aAbÄä%_.\\'\" 1^*?", max_size=6)
DATES = st.sampled_from(["", "2020", "20200101", "20201231", "2021"])
RANGES = st.builds(lambda a, b, dash: a + dash + b, DATES, DATES, st.sampled_from(["", "-", "\\"]))


async def test_sql_and_memory_agree_on_texts_and_ranges(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    insert = (
        "INSERT INTO patient (public_id, main_tags, updated_at) VALUES ('p', "
        "jsonb_build_object('PatientID', $1::text, 'PatientBirthDate', $2::text), now()) "
        "ON CONFLICT (public_id) DO UPDATE SET main_tags = excluded.main_tags"
    )

    async def agree(value: str, date: str, pattern: str, span: str, exact: bool) -> None:
        await connection.execute(insert, value, date)
        for tag, text, there in ((PATIENT_ID, pattern, value), (BIRTH_DATE, span, date)):
            key = parse_constraint(tag, text, case_sensitive=exact)
            statement = build(FindQuery(level=Level.PATIENT, keys=[key]))
            query = f"SELECT count(*) FROM {statement.source()}{statement.where}"
            found = await connection.fetchval(query, *statement.parameters)
            assert bool(found) is matches(key, there), (text, there, query)

    examples: list[tuple[str, str, str, str, bool]] = []

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(TEXTS, DATES, PATTERNS, RANGES, st.booleans()))
    def collect(example: tuple[str, str, str, str, bool]) -> None:
        examples.append(example)

    collect()
    try:
        for example in examples:
            await agree(*example)
    finally:
        await connection.close()
    assert len(examples) >= 300


STUDY_DATE, STUDY_TIME = 0x0008_0020, 0x0008_0030
TIMES = st.sampled_from(["", "00", "12", "1200", "120000", "115959.5", "235959.999999", "2359"])
DAYS = st.sampled_from(["20240114", "20240115", "20240116"])
TIME_RANGES = st.builds(
    lambda a, b: f"{a}-{b}", st.sampled_from(["", "00", "1200", "120000", "115959.5"]), TIMES
)
DAY_RANGES = st.builds(lambda a, b: f"{a}-{b}", st.sampled_from(["", "20240115"]), DAYS)
INSERT_STUDY = """
    WITH patient AS (
        INSERT INTO patient (public_id, main_tags, updated_at) VALUES ('p', '{}', now())
        ON CONFLICT (public_id) DO UPDATE SET main_tags = '{}' RETURNING patient_pk)
    INSERT INTO study (patient_pk, public_id, main_tags, patient_tags, updated_at)
    SELECT patient_pk, 's', jsonb_strip_nulls(
        jsonb_build_object('StudyDate', $1::text, 'StudyTime', $2::text)), '{}', now() FROM patient
    ON CONFLICT (public_id) DO UPDATE SET main_tags = excluded.main_tags"""


async def test_sql_and_memory_agree_on_moments_times_and_what_is_empty(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)

    async def finds(query: FindQuery) -> bool:
        statement = build(query)
        text = f"SELECT count(*) FROM {statement.source()}{statement.where}"
        return bool(await connection.fetchval(text, *statement.parameters))

    examples: list[tuple[str, str | None, str, str]] = []

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(DAYS, st.none() | TIMES, DAY_RANGES, TIME_RANGES))
    def collect(example: tuple[str, str | None, str, str]) -> None:
        examples.append(example)

    collect()
    try:
        for day, time, days, times in examples:
            await connection.execute(INSERT_STUDY, day, time)
            dataset = Dataset()
            dataset.StudyDate = day
            if time is not None:
                dataset.StudyTime = time
            date_key = parse_constraint(STUDY_DATE, days)
            time_key = parse_constraint(STUDY_TIME, times)
            moment = moment_range(date_key, time_key)
            if time != "12":  # an hour alone: in memory it begins, in the index it is within
                found = await finds(FindQuery(level=Level.STUDY, moments=(moment,)))
                keys = DatasetKeys(moments=(moment,))
                assert found is matches_dataset(keys, dataset, default_encoding="Latin1"), (
                    (day, time, days, times),
                    moment,
                )
            if any(time_key.values):
                wide = widen_times(time_key)
                found = await finds(FindQuery(level=Level.STUDY, keys=(wide,)))
                assert found is matches(wide, time), (time, times)
            empty = parse_constraint(STUDY_TIME, '""', empty_values=True)
            found = await finds(FindQuery(level=Level.STUDY, keys=(empty,)))
            assert found is matches(empty, time) is (not time)
    finally:
        await connection.close()
    assert len(examples) >= 100

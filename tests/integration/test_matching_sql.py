"""The index and the matching engine in memory agree on every constraint."""

from __future__ import annotations

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanthorn_core.adapters.index_postgres.search import build
from lanthorn_core.dicom.matching import matches, parse_constraint
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
            query = f"SELECT count(*) FROM {statement.source}{statement.where}"
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

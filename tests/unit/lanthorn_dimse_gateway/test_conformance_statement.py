"""The conformance statement says what the code does."""

from __future__ import annotations

from pathlib import Path

from lanthorn_dimse_gateway.conformance_statement import renew

STATEMENT = Path(__file__).parents[3] / "docs" / "conformance" / "statement.md"


def test_the_tables_of_the_statement_are_those_of_the_code() -> None:
    statement = STATEMENT.read_text()
    assert renew(statement) == statement, "run `make docs`"
    assert "| Verification SOP Class | `1.2.840.10008.1.1` | C-ECHO |" in statement


def test_a_table_that_was_changed_by_hand_is_noticed() -> None:
    statement = STATEMENT.read_text().replace("`1.2.840.10008.1.1`", "`1.2.3`")
    assert renew(statement) != statement

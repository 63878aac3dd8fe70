"""The statements of this package, by name."""

from __future__ import annotations

from typing import Final

from lanthorn_core.adapters.sqlfile import load_statements

SQL: Final = load_statements(__package__, "statements.sql")

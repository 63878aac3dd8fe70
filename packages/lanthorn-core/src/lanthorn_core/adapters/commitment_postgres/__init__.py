"""Storage commitment reports in PostgreSQL."""

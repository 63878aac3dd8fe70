"""Remote AEs, queries of them, and exports to them, in PostgreSQL."""

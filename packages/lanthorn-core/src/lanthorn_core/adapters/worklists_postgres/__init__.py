"""Worklist items in PostgreSQL."""

"""The index on PostgreSQL, through asyncpg: SQL in files, no ORM."""

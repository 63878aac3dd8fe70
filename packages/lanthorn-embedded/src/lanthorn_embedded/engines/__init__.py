"""The servers that production has and a laptop has not: PostgreSQL and nats-server."""

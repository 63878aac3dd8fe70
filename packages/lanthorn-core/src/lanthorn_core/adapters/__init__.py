"""How the ports are done: object stores, NATS, PostgreSQL, the renderer over HTTP."""

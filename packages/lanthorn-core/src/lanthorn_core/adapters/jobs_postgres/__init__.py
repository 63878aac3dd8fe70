"""Jobs on PostgreSQL: rows claimed with leases."""

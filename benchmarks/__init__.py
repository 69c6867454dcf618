"""lmx's durable core measured beside its peers, in one run on one Postgres server."""

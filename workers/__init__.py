"""What executes tasks: the Postgres broker for Dramatiq and the worker processes."""

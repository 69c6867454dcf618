"""Alembic's entry: applies revisions over the connection that `database.migrate` opened.

The caller holds the transaction and the advisory lock, so this neither connects nor commits.
"""

from alembic import context

from lmx.workflows.database.migrate import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
)
context.run_migrations()

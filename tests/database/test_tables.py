"""The tables that the program knows are the tables that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import metadata


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return name == "lmx" if kind == "schema" else name != "alembic_version"


def test_the_metadata_says_what_the_migrated_database_has(database: Database) -> None:
    with database.engine.connect() as connection:
        options = {"include_schemas": True, "include_name": _ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []

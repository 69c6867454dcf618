"""The tables that the program knows are the tables that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import metadata


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return name == "lmx" if kind == "schema" else name != "alembic_version"


def _differences(connection: Connection) -> list[object]:
    options = {"include_schemas": True, "include_name": _ours, "compare_type": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_metadata_says_what_the_migrated_database_has(database: Database) -> None:
    def connect() -> object:
        # A user called lmx would find the schema lmx without naming it, and Alembic not at all.
        connection = database.connect()
        connection.execute("SET search_path = public")
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        assert _differences(connection) == []

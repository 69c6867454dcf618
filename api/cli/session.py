"""What most commands begin with: the settings, a ready database, and their orderly end."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from lmx.workflows.client import Client
    from lmx.workflows.config import Settings
    from lmx.workflows.database.connect import Database


@dataclass
class Session:
    """One command's use of lmx. Connections are opened when they are first needed."""

    settings: "Settings"
    database: "Database"

    @cached_property
    def client(self) -> "Client":
        from lmx.workflows.client import Client

        return Client(self.database)

    @cached_property
    def connection(self) -> "psycopg.Connection[Any]":
        return self.database.connect(application_name="lmx command")

    def close(self) -> None:
        """Close what was opened."""
        for name in ("client", "connection"):
            if name in vars(self):
                vars(self).pop(name).close()
        if "engine" in vars(self.database):
            self.database.engine.dispose()


@contextlib.contextmanager
def session() -> Iterator[Session]:
    """Open the database of this user's settings, starting the embedded server if need be.

    Failures of the server during the command end as one line. Raises ConfigError,
    DatabaseUnavailable, SchemaMismatch, DiskFull.
    """
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from lmx.workflows.config import load_settings
    from lmx.workflows.database import migrate
    from lmx.workflows.database.connect import resolve_database
    from lmx.workflows.database.failures import failure_of

    settings = load_settings()
    database = resolve_database(settings)
    opened = Session(settings, database)
    try:
        migrate.prepare(database)
        yield opened
    except (psycopg.Error, DBAPIError) as error:
        if known := failure_of(error, database.place):
            raise known from error
        raise
    finally:
        opened.close()

"""The caller's own connection: what a transactional enqueue writes on."""

from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy.orm import Session

from lmx.workflows.errors import InvalidInput

#: A connection of the caller's, whose transaction decides what becomes of the enqueue.
CallerConnection = psycopg.Connection[Any] | sqlalchemy.Connection | Session


def driver_connection(connection: CallerConnection) -> psycopg.Connection[Any]:
    """Return the psycopg connection beneath `connection`, inside the caller's transaction.

    SQLAlchemy is told that a transaction has begun, so that its commit() will commit. Raises
    InvalidInput for anything but psycopg.
    """
    if isinstance(connection, psycopg.Connection):
        return connection
    if isinstance(connection, Session):
        connection = connection.connection()
    if not isinstance(connection, sqlalchemy.Connection):
        raise InvalidInput(
            f"{type(connection).__name__} is not a connection that tasks can be enqueued on",
            hint="pass a psycopg.Connection, a SQLAlchemy Connection or a Session",
        )
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise InvalidInput(
            "the SQLAlchemy connection does not use the psycopg driver",
            hint='create its engine with "postgresql+psycopg://..."',
        )
    if not connection.in_transaction():
        connection.begin()
    return driver

"""Writes Dramatiq messages into the queue: one, many, or in the caller's own transaction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import psycopg
from dramatiq.errors import ConnectionFailed
from dramatiq.message import Message

from lmx.workflows.database.callers import CallerConnection, driver_connection
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import LmxError
from lmx.workflows.sql import statement

R = TypeVar("R")

KEY_PREFIX: Final = "dramatiq:"
_MAX_PRIORITY: Final = 32_767

_lent: ContextVar[psycopg.Connection[Any] | None] = ContextVar("lmx_lent", default=None)


class Sender:
    """Inserts one row per message. A message is queued at most once at a time, by its id.

    A message that is queued or being worked on already stays as it is; one that has finished is
    queued anew. `priority_of` gives Dramatiq's priority of a message: smaller is more urgent.
    """

    def __init__(self, pool: HotPool, priority_of: Callable[[Message[Any]], int]) -> None:
        self._pool = pool
        self._priority_of = priority_of
        self._queues: set[str] = set()

    def send(
        self,
        message: Message[Any],
        delay_ms: int | None,
        connection: psycopg.Connection[Any] | None = None,
    ) -> None:
        """Queue one message: one statement, and without `connection` one commit."""
        row = self._row(message, delay_ms)
        self.ensure_queues([message.queue_name])
        self._use(connection, lambda conn, again: self._insert(conn, row, again=again))

    def send_many(
        self,
        messages: Sequence[Message[Any]],
        delay_ms: int | None,
        connection: psycopg.Connection[Any] | None = None,
    ) -> None:
        """Queue messages in one statement: all of them or, after an error, none."""
        rows = {row["key"]: row for row in (self._row(message, delay_ms) for message in messages)}
        if not rows:
            return
        self.ensure_queues(sorted({message.queue_name for message in messages}))
        batch = list(rows.values())
        columns = {
            "queues": [row["queue"] for row in batch],
            "names": [row["name"] for row in batch],
            "priorities": [row["priority"] for row in batch],
            "keys": [row["key"] for row in batch],
            "messages": [row["message"] for row in batch],
            "delay": _seconds(delay_ms),
        }

        def insert(conn: psycopg.Connection[Any], again: bool) -> None:
            with _atomic(conn):
                cursor = conn.execute(statement("enqueue_messages"), columns, prepare=True)
                taken = rows.keys() - {row[0] for row in cursor.fetchall()}
                for key in sorted(taken):
                    self._insert(conn, rows[key], again=again)

        self._use(connection, insert)

    def fields(self, message: Message[Any], delay_ms: int | None) -> dict[str, Any]:
        """The columns of the message's row, for an operation that sends it."""
        row = self._row(message, delay_ms)
        return {name: row[name] for name in ("queue", "name", "key", "priority", "delay")}

    def ensure_queues(self, queues: Sequence[str]) -> None:
        """Create the rows of these queues, in a transaction of its own, once per process."""
        missing = [queue for queue in queues if queue not in self._queues]
        if missing:
            create = (
                "INSERT INTO lmx.queues (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
            )
            repeatable(self._pool, lambda conn, _: conn.execute(create, [missing]))
            self._queues.update(missing)

    def _row(self, message: Message[Any], delay_ms: int | None) -> dict[str, Any]:
        urgency = -self._priority_of(message)
        return {
            "queue": message.queue_name,
            "name": message.actor_name,
            "key": f"{KEY_PREFIX}{message.message_id}",
            "message": message.encode(),
            "priority": max(-_MAX_PRIORITY, min(_MAX_PRIORITY, urgency)),
            "delay": _seconds(delay_ms),
            "max_attempts": _MAX_PRIORITY,
            "time_limit_ms": None,
            "timeout": None,
            "hash": None,
            "input": None,
        }

    def _insert(self, conn: psycopg.Connection[Any], row: dict[str, Any], *, again: bool) -> None:
        """Insert one row; after a lost connection (`again`) one that exists is the one we sent."""
        if conn.execute(statement("enqueue"), row, prepare=True).fetchone() or again:
            return
        with _atomic(conn):
            conn.execute(
                "UPDATE lmx.tasks SET idempotency_key = NULL"
                " WHERE idempotency_key = %(key)s AND finished_at IS NOT NULL",
                row,
            )
            conn.execute(
                "INSERT INTO lmx.queues (name) VALUES (%(queue)s) ON CONFLICT DO NOTHING", row
            )
            conn.execute(statement("enqueue"), row, prepare=True)

    def _use(
        self,
        connection: psycopg.Connection[Any] | None,
        write: Callable[[psycopg.Connection[Any], bool], R],
    ) -> R:
        """Write on the caller's connection, or on one of ours, once more if that one broke."""
        if connection is not None:
            return write(connection, False)
        return repeatable(self._pool, write)


def repeatable(pool: HotPool, write: Callable[[psycopg.Connection[Any], bool], R]) -> R:
    """Run `write(connection, again)`, and once more, with `again` set, if the connection breaks.

    A pooled connection may have been cut since its last use, or while it was being looked at.
    """
    try:
        with pool.borrow() as conn:
            return write(conn, False)
    except psycopg.OperationalError:
        pool.close()  # its other connections may have been cut with that one
        with pool.borrow() as conn:
            return write(conn, True)


def _atomic(conn: psycopg.Connection[Any]) -> AbstractContextManager[object]:
    """Let statements succeed or fail together, and never commit a transaction of the caller's.

    `conn.transaction()` would commit at its end what it began on a connection without autocommit.
    """
    return conn.transaction() if conn.autocommit else nullcontext()


def _seconds(delay_ms: int | None) -> float | None:
    return None if delay_ms is None else max(0, delay_ms) / 1000


@contextmanager
def lent(connection: CallerConnection) -> Iterator[None]:
    """Let what this thread sends in the block be queued in the caller's transaction."""
    token = _lent.set(driver_connection(connection))
    try:
        yield
    finally:
        _lent.reset(token)


def lent_connection() -> psycopg.Connection[Any] | None:
    """The connection that `lent` has set, if any."""
    return _lent.get()


@contextmanager
def connection_failures() -> Iterator[None]:
    """Raise failures of the database as Dramatiq's ConnectionFailed, with their one line."""
    try:
        yield
    except (psycopg.OperationalError, LmxError) as error:
        raise ConnectionFailed(" ".join(str(error).split())) from error

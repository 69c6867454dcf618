"""A stack of hot connections that threads borrow for one statement each.

SQLAlchemy's pool serves the cold reads; here a pre-ping and a BEGIN/COMMIT per statement would
cost more than the statement. A connection that the server has closed is noticed without a round
trip: its socket is readable although nothing was asked.
"""

import contextlib
import select
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from lmx.workflows.database.connect import Connection, Database


@dataclass(slots=True)
class HotPool:
    """Lends autocommit connections; keeps at most `keep` idle ones."""

    database: Database
    keep: int = 8
    _idle: deque[Connection] = field(default_factory=deque)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Connection]:
        """Lend a connection for the `with` block. Raises DatabaseUnavailable."""
        conn = self._take()
        try:
            yield conn
        finally:
            self._give_back(conn)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection:
        while self._idle:
            with contextlib.suppress(IndexError):
                conn = self._idle.pop()
                if _alive(conn):
                    return conn
                conn.close()
        return self.database.connect_hot(application_name="lmx client")

    def _give_back(self, conn: Connection) -> None:
        idle = conn.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if conn.closed or not idle or len(self._idle) >= self.keep:
            conn.close()
        else:
            self._idle.append(conn)


def _alive(conn: Connection) -> bool:
    if conn.closed:
        return False
    poller = select.poll()  # select() cannot watch descriptors from 1024 on
    poller.register(conn.fileno(), select.POLLIN)
    if not poller.poll(0):
        return True
    try:
        conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return True

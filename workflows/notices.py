"""Hears what other processes tell over LISTEN/NOTIFY, and is woken by threads of its own process.

A queue's notification (channel `lmx:<queue>`) says that something is ready, or, with a payload,
in how many seconds something falls due. It is only a hint: whoever waits here also polls.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from lmx.workflows.alarm import Alarm

PREFIX: Final = "lmx:"

#: Postgres refuses longer channel names.
MAX_QUEUE_NAME: Final = 63 - len(PREFIX)


@dataclass(slots=True)
class Notices:
    """The waiting side of one connection. `heard(queue, due_in)` is called for every notice."""

    heard: Callable[[str, float | None], None]
    _alarm: Alarm = field(default_factory=Alarm)
    _listening: set[str] = field(default_factory=set)
    _conn: psycopg.Connection[Any] | None = None

    def attach(self, conn: psycopg.Connection[Any]) -> None:
        """Hear what arrives on a new connection from now on."""
        self._conn = conn
        self._listening.clear()
        conn.add_notify_handler(lambda notice: self._note(notice.channel, notice.payload))

    def listen(self, queues: Iterable[str]) -> None:
        """Listen to these queues; those already listened to cost nothing."""
        for queue in [queue for queue in queues if queue not in self._listening]:
            channel = sql.Identifier(PREFIX + queue)
            self._connection().execute(sql.SQL("LISTEN {}").format(channel))
            self._listening.add(queue)

    def wake(self) -> None:
        """End the wait of the thread in `wait`. Any thread may call this."""
        self._alarm.ring()

    def wait(self, timeout: float) -> None:
        """Wait until something arrives, `wake` is called or `timeout` seconds have passed."""
        self._alarm.sleep(self._connection(), timeout)

    def read(self) -> None:
        """Report what has arrived, without waiting. Raises OperationalError if the server left."""
        pgconn = self._connection().pgconn
        pgconn.consume_input()
        while notice := pgconn.notifies():
            self._note(notice.relname.decode(), notice.extra.decode())

    def close(self) -> None:
        """Free the file descriptor."""
        self._alarm.close()

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is None:
            raise psycopg.OperationalError("not connected")
        return self._conn

    def _note(self, channel: str, payload: str) -> None:
        try:
            due_in = float(payload) if payload else None
        except ValueError:
            due_in = None
        self.heard(channel.removeprefix(PREFIX), due_in)

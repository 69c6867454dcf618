"""What is left to do in a queue: whether there is any, and how to empty it."""

from contextlib import suppress
from time import monotonic, sleep
from typing import Final

import psycopg
from dramatiq.errors import QueueJoinTimeout

from lmx.workers.sending import repeatable
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import LmxError

_JOIN_POLL_S: Final = 0.01

_CANCEL = """
    UPDATE lmx.tasks SET state = 'cancelled', finished_at = clock_timestamp(), run_at = NULL,
                         message = NULL
    WHERE queue = %s AND state IN ('ready', 'scheduled') AND message IS NOT NULL
"""

# One condition for each state, so that each finds its own partial index.
_UNFINISHED = """
    SELECT EXISTS (SELECT FROM lmx.tasks WHERE queue = %(queue)s AND state = 'ready')
        OR EXISTS (SELECT FROM lmx.tasks WHERE queue = %(queue)s AND state = 'scheduled')
        OR EXISTS (SELECT FROM lmx.tasks WHERE queue = %(queue)s AND state = 'leased')
"""


def cancel_messages(pool: HotPool, queue: str) -> None:
    """Cancel the messages that wait in a queue. Leased ones, and lmx's own tasks, stay."""
    repeatable(pool, lambda conn, _: conn.execute(_CANCEL, [queue]))


def join(pool: HotPool, queue: str, timeout_s: float | None) -> None:
    """Wait until nothing in a queue is ready, leased or scheduled; wait out outages meanwhile.

    Raises QueueJoinTimeout, and OperationalError or LmxError if the database cannot be reached to
    begin with.
    """
    until = None if timeout_s is None else monotonic() + timeout_s
    unfinished = _is_unfinished(pool, queue)
    while unfinished:
        if until is not None and monotonic() >= until:
            raise QueueJoinTimeout(f"timed out after {timeout_s:.2f} seconds")
        sleep(_JOIN_POLL_S)
        with suppress(psycopg.OperationalError, LmxError):
            unfinished = _is_unfinished(pool, queue)


def _is_unfinished(pool: HotPool, queue: str) -> bool:
    row = repeatable(pool, lambda conn, _: conn.execute(_UNFINISHED, {"queue": queue}).fetchone())
    return row is not None and bool(row[0])

"""Dramatiq's rate limiters, barriers and group callbacks on Postgres."""

from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any, Final

import psycopg
from dramatiq.rate_limits import RateLimiterBackend

from lmx.workers import outbox
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool

_POLL_S: Final = 0.02
_PURGE_EVERY_S: Final = 60.0

_ADD: Final = """
INSERT INTO lmx.rate_limits AS r (key, value, expires_at)
VALUES (%(key)s, %(value)s, clock_timestamp() + make_interval(secs => %(ttl)s::float8 / 1000))
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
WHERE r.expires_at <= clock_timestamp()
RETURNING true
"""
# The new value must stay within [low, high]; an absent or expired key counts as 0.
_STEP: Final = """
INSERT INTO lmx.rate_limits AS r (key, value, expires_at)
SELECT %(key)s, %(amount)s, clock_timestamp() + make_interval(secs => %(ttl)s::float8 / 1000)
WHERE %(amount)s::bigint BETWEEN %(low)s::bigint AND %(high)s::bigint
   OR EXISTS (SELECT FROM lmx.rate_limits WHERE key = %(key)s)
ON CONFLICT (key) DO UPDATE
SET value = CASE WHEN r.expires_at > clock_timestamp() THEN r.value ELSE 0 END + %(amount)s,
    expires_at = excluded.expires_at
WHERE CASE WHEN r.expires_at > clock_timestamp() THEN r.value ELSE 0 END + %(amount)s
      BETWEEN %(low)s AND %(high)s
RETURNING true
"""
_NOTIFIED: Final = """
SELECT true FROM lmx.rate_limits WHERE key = %(key)s AND expires_at > clock_timestamp()
"""
_LOWEST: Final = -(2**62)
_HIGHEST: Final = 2**62


class PostgresRateLimiterBackend(RateLimiterBackend):
    """A rate limiter backend for `dramatiq.rate_limits` and `dramatiq.GroupCallbacks`.

    A barrier counts each message once, however often it is delivered: a message of a group that
    is repeated after a crash neither opens the barrier early nor keeps it shut.
    """

    def __init__(self, database: Database) -> None:
        self._pool = HotPool(database)
        self._purge_at = monotonic() + _PURGE_EVERY_S

    def add(self, key: str, value: int, ttl: int) -> bool:
        """Set a key unless it exists; returns whether it was set. `ttl` is in ms."""
        self._purge()
        return self._run(_ADD, {"key": key, "value": value, "ttl": ttl})

    def incr(self, key: str, amount: int, maximum: int, ttl: int) -> bool:
        """Add to a key unless that passes `maximum`; returns whether it was added."""
        return self._run(_STEP, _step(key, amount, _LOWEST, maximum, ttl))

    def decr(self, key: str, amount: int, minimum: int, ttl: int) -> bool:
        """Subtract from a key unless that passes `minimum`; returns whether it was subtracted."""
        step = _step(key, -amount, minimum, _HIGHEST, ttl)
        delivery = outbox.current_delivery()
        if delivery is None:
            return self._run(_STEP, step)
        return self._arrive(step, delivery.lease.task_id)

    def incr_and_sum(
        self, key: str, keys: Callable[[], Iterable[str]], amount: int, maximum: int, ttl: int
    ) -> bool:
        """Add to a key unless the sum of `keys` then passes `maximum`.

        Windows of one limiter are named `<limiter>@<second>`; their sums exclude one another.
        """
        with self._pool.borrow() as conn, conn.transaction():
            limiter = key.partition("@")[0]
            conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 42))", [limiter])
            row = conn.execute(
                "SELECT coalesce(sum(value), 0)::bigint FROM lmx.rate_limits"
                " WHERE key = ANY(%s) AND expires_at > clock_timestamp()",
                [list(keys())],
            ).fetchone()
            if row is None or row[0] + amount > maximum:
                return False
            return _execute(conn, _STEP, _step(key, amount, _LOWEST, maximum, ttl))

    def wait(self, key: str, timeout: int | None) -> bool:
        """Wait up to `timeout` ms until `wait_notify` is called for the key."""
        until = None if timeout is None else monotonic() + timeout / 1000
        while not self._run(_NOTIFIED, {"key": key}):
            if until is not None and monotonic() >= until:
                return False
            sleep(_POLL_S)
        return True

    def wait_notify(self, key: str, ttl: int) -> None:
        """End all waits for the key, also those that begin within `ttl` ms."""
        self.add(key, 1, ttl)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _arrive(self, step: dict[str, Any], task_id: int) -> bool:
        """Count a task down once; a repetition gets the first one's answer."""
        arrival = {"key": step["key"], "task": task_id}
        with self._pool.borrow() as conn, conn.transaction():
            locked = conn.execute(
                "SELECT true FROM lmx.rate_limits WHERE key = %(key)s FOR UPDATE", arrival
            ).fetchone()
            if locked is None:
                return _execute(conn, _STEP, step)
            first = conn.execute(
                "SELECT stepped FROM lmx.arrivals WHERE key = %(key)s AND task_id = %(task)s",
                arrival,
            ).fetchone()
            if first is not None:
                return bool(first[0])
            stepped = _execute(conn, _STEP, step)
            conn.execute(
                "INSERT INTO lmx.arrivals (key, task_id, stepped)"
                " VALUES (%(key)s, %(task)s, %(stepped)s)",
                {**arrival, "stepped": stepped},
            )
            return stepped

    def _run(self, query: str, row: dict[str, Any]) -> bool:
        with self._pool.borrow() as conn:
            return _execute(conn, query, row)

    def _purge(self) -> None:
        """Delete what has expired, now and then."""
        if monotonic() >= self._purge_at:
            self._purge_at = monotonic() + _PURGE_EVERY_S
            with self._pool.borrow() as conn:
                conn.execute("DELETE FROM lmx.rate_limits WHERE expires_at <= clock_timestamp()")


def _step(key: str, amount: int, low: int, high: int, ttl: int) -> dict[str, Any]:
    return {"key": key, "amount": amount, "low": low, "high": high, "ttl": ttl}


def _execute(conn: psycopg.Connection[Any], query: str, row: dict[str, Any]) -> bool:
    return conn.execute(query, row, prepare=True).fetchone() is not None

"""Runs the enqueue statements, and tells a repeated submission from a conflicting one."""

from typing import Any

import psycopg

from lmx.workflows.errors import Conflict
from lmx.workflows.sql import statement
from lmx.workflows.submission import Options
from lmx.workflows.targets import Target


def row_of(target: Target, options: Options) -> dict[str, Any]:
    """The parameters that all enqueue statements share."""
    limit = options.time_limit
    return {
        "name": target.name,
        "queue": target.queue,
        "delay": options.delay,
        "priority": options.priority,
        "max_attempts": options.max_attempts or target.max_attempts,
        "time_limit_ms": target.time_limit_ms if limit is None else int(limit * 1000),
        "timeout": options.timeout,
    }


def insert(
    conn: psycopg.Connection[Any],
    name: str,
    row: dict[str, Any],
    queue: str,
    key: str | None = None,
) -> Any:
    """Run the enqueue statement `name`; create the queue if that is why nothing was inserted.

    Returns the statement's row, or None when the idempotency key is taken.
    """
    added = conn.execute(statement(name), row, prepare=True).fetchone()
    if added is not None and added[0] is not None:
        return added
    if key is not None and _find(conn, key) is not None:
        return None
    conn.execute("INSERT INTO lmx.queues (name) VALUES (%s) ON CONFLICT DO NOTHING", [queue])
    return conn.execute(statement(name), row, prepare=True).fetchone()


def existing(conn: psycopg.Connection[Any], key: str, request: Any) -> int:
    """The task that was submitted under a key. Raises Conflict if that was another request."""
    found = _find(conn, key)
    if found is None or found[1] != request:
        raise Conflict(
            f"the idempotency key {key!r} was used before for a different request",
            hint="use a new key, or send the same request again",
        )
    return int(found[0])


def _find(conn: psycopg.Connection[Any], key: str) -> tuple[int, bytes | None] | None:
    return conn.execute(
        "SELECT id, request_hash FROM lmx.tasks WHERE idempotency_key = %s", [key]
    ).fetchone()

"""Runs the enqueue statements, and tells a repeated submission from a conflicting one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from lmx.workflows.attachments.store import attach
from lmx.workflows.errors import Conflict
from lmx.workflows.generation import Terms
from lmx.workflows.operations import encode
from lmx.workflows.pools import place_calls
from lmx.workflows.providers.planning import placed
from lmx.workflows.routing.records import record
from lmx.workflows.sql import statement
from lmx.workflows.submission import Options, budget_rows, encode_input, request_hash
from lmx.workflows.targets import Target


def add_task(
    conn: psycopg.Connection[Any],
    target: Target,
    encoded: str,
    options: Options,
    key: str | None,
    terms: Terms,
) -> int:
    """Queue one task with all that belongs to it, and return its id, or that of its key's first.

    Part of the caller's transaction where `terms` have more than a task. Raises Conflict.
    """
    row = _row_of(target, options.last() if terms.last else options)
    row["input"] = encoded
    row["key"] = key
    if row["time_limit_ms"] is None and terms.time_limit:
        row["time_limit_ms"] = int(terms.time_limit * 1000)
    row["hash"] = _request(target.name, encoded, options, terms) if key else None
    if target.role == "coordinator" or options.budget:
        row["role"] = target.role
        row["nesting"] = options.nesting
        row["weight"] = options.weight
        row["budgets"] = encode(budget_rows(options.budget, terms.reserve, lost=terms.lost))
        added = _insert(conn, "submit_run", row, target.queue, key)
    else:
        row["message"] = None
        added = _insert(conn, "enqueue", row, target.queue, key)
    if added is None:
        return _existing(conn, str(key), row["hash"])
    task_id = int(added[0])
    if terms.placement is not None:
        place_calls(conn, [placed({"id": task_id}, terms.placement)])
    if terms.files:
        attach(conn, task_id, terms.files)
    if terms.decision is not None:
        record(conn, [{"id": task_id, **terms.decision}])
    return task_id


def add_tasks(
    conn: psycopg.Connection[Any],
    target: Target,
    inputs: Sequence[Any],
    options: Options,
    keys: Sequence[str] | None,
) -> list[int]:
    """Queue one task per input, in one statement, and return their ids in this order.

    With `keys`, one per input, a task that was queued under the same key before stands for its own.
    Raises Conflict.
    """
    row = _row_of(target, options)
    row["inputs"] = encode_input(inputs)
    hashes = [request_hash(target.name, encode(one), options) for one in inputs] if keys else None
    row["keys"] = list(keys) if keys else None
    row["hashes"] = hashes
    ids = _insert(conn, "enqueue_many", row, target.queue)[0] or []
    if keys is None or hashes is None:
        return list(ids)
    return [_existing(conn, *pair) for pair in zip(keys, hashes, strict=True)]


def _request(name: str, encoded: str, options: Options, terms: Terms) -> bytes:
    """Identify a request; one that a route has placed is what was asked, not where it went."""
    if terms.asked is None:
        return request_hash(name, encoded, options)
    return request_hash(name, encode_input(terms.asked), replace(options, queue=None))


def _row_of(target: Target, options: Options) -> dict[str, Any]:
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


def _insert(
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


def _existing(conn: psycopg.Connection[Any], key: str, request: Any) -> int:
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

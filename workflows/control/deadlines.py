"""Ends what has run out of time: tasks past their deadline, attempts past their time limit."""

from typing import Any, Final

import psycopg

from lmx.workflows.control.subtree import Ending, end_trees, lock_trees, stop_workers
from lmx.workflows.operations import Operation, apply, keep
from lmx.workflows.retries import delay_before
from lmx.workflows.sql import statement

#: Workers end attempts at their time limit themselves; only those that did not are ended here.
GRACE_S: Final = 5.0
# The function's own backoff is known to its workers only.
_BACKOFF_S: Final = 1.0
_MAX_BACKOFF_S: Final = 300.0

_DEADLINE: Final = {"kind": "deadline", "message": "its deadline passed before it finished"}


def expire_deadlines(conn: psycopg.Connection[Any], *, grace_s: float = GRACE_S) -> int:
    """Fail what is past its deadline, with all beneath it; end attempts past their time limit.

    An attempt past its limit counts as failed: it is retried, or the task fails with its last.
    Cheap when nothing is due. Returns how many tasks and attempts were ended; what a deadlock
    prevented is left to the next call.
    """
    try:
        return _expire(conn) + _cut_short(conn, grace_s)
    except psycopg.errors.DeadlockDetected:
        return 0


def _expire(conn: psycopg.Connection[Any]) -> int:
    ended = 0
    while due := [row[0] for row in conn.execute(statement("overdue"), prepare=True)]:
        with conn.transaction():
            tree = lock_trees(conn, due)
            endings = [Ending(task_id, "failed", _DEADLINE) for task_id in due]
            ended += len(end_trees(conn, tree, endings).tasks)
    return ended


def _cut_short(conn: psycopg.Connection[Any], grace_s: float) -> int:
    rows = conn.execute(statement("overlong"), {"grace": grace_s}, prepare=True).fetchall()
    for task_id, seq, _, attempts, max_attempts, limit_ms in rows:
        error = {
            "kind": "time_limit",
            "message": f"an attempt ran for longer than its limit of {limit_ms / 1000:g} s",
        }
        with conn.transaction():
            tree = lock_trees(conn, [task_id])
            if not _still_leased(conn, task_id, seq):
                continue
            if attempts + 1 < max_attempts:
                conn.execute(statement("forfeit"), {"ids": [task_id]})
                conn.execute(statement("lose_calls"), {"ids": [task_id]})
                apply(conn, [keep(task_id, seq), _retry(task_id, seq, attempts, error)])
                stop_workers(conn, [task_id])
            else:
                end_trees(conn, tree, [Ending(task_id, "failed", error, tried=1)])
    return len(rows)


def _still_leased(conn: psycopg.Connection[Any], task_id: int, seq: int) -> bool:
    query = "SELECT 1 FROM lmx.tasks WHERE id = %s AND lease_seq = %s AND state = 'leased'"
    return conn.execute(query, [task_id, seq]).fetchone() is not None


def _retry(task_id: int, seq: int, attempts: int, error: dict[str, Any]) -> Operation:
    return Operation(
        "retry",
        task_id,
        seq,
        {"delay": delay_before(attempts + 1, _BACKOFF_S, _MAX_BACKOFF_S), "error": error},
        event={"kind": "retried", "data": error},
    )

"""Deletes whole runs: every row of their trees. What they have spent is written down first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lmx.workflows.retention.strands import RUNS, Connection, delete, still_over

_OF_RUN: Final = (("events", "run_id"), ("memory", "run_id"), ("lanes", "run_id"), ("runs", "id"))
_OF_TASK: Final = ("decisions", "checkpoints", "signals", "calls", "task_files", "budgets")

_LOCK: Final = "SELECT id FROM lmx.tasks WHERE id = ANY(%s) ORDER BY id FOR UPDATE SKIP LOCKED"
_TREES: Final = """
WITH RECURSIVE tree AS (
    SELECT id FROM lmx.tasks WHERE id = ANY(%s)
    UNION ALL
    SELECT c.id FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
) SELECT id FROM tree ORDER BY id
"""
# A closed budget's spending is in its parent's, so only those count that have none above them.
_SPENT: Final = """
INSERT INTO lmx.pruned_budgets (run_id, unit, ceiling, spent, name, finished_at)
SELECT r.id, b.unit, sum(b.ceiling), sum(b.spent), r.name, r.finished_at
FROM lmx.budgets b
JOIN lmx.tasks t ON t.id = b.task_id
JOIN lmx.tasks r ON r.id = t.root_id
WHERE b.task_id = ANY(%s)
  AND NOT EXISTS (SELECT FROM lmx.budgets p WHERE p.task_id = t.parent_id AND p.unit = b.unit)
GROUP BY r.id, b.unit, r.name, r.finished_at
"""
# A day or a month of an allowance counts calls until it is over, and people ask which.
_COUNTED: Final = """
SELECT least(%s, min(p.starts_at)) FROM lmx.allowance_periods p
JOIN lmx.allowances a ON a.id = p.allowance_id
WHERE a.active AND p.starts_at <= now() AND p.ends_at > now()
"""


def not_counted(conn: Connection, before: datetime) -> datetime:
    """`before`, or the start of the present period of an allowance, if that is earlier."""
    row = conn.execute(_COUNTED, [before]).fetchone()
    assert row is not None
    earliest: datetime = row[0]
    return earliest


def trees(conn: Connection, roots: Sequence[int]) -> list[int]:
    """All tasks of these runs."""
    return [row[0] for row in conn.execute(_TREES, [list(roots)]).fetchall()]


def delete_runs(conn: Connection, before: datetime, roots: Sequence[int]) -> tuple[int, int]:
    """Delete those of these runs that are over and that nobody has locked; return runs and tasks.

    Part of the caller's transaction.
    """
    locked = [row[0] for row in conn.execute(_LOCK, [list(roots)]).fetchall()]
    gone = still_over(conn, RUNS, before, locked)
    ids = trees(conn, gone)
    conn.execute(_SPENT, [ids])
    for table, column in _OF_RUN:
        delete(conn, table, column, gone)
    for table in _OF_TASK:
        delete(conn, table, "task_id", ids)
    return len(gone), delete(conn, "tasks", "id", ids)

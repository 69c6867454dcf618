"""What can be pruned, kind by kind, and which of its rows are over.

Every kind has ids that grow with time. A piece is the next so many rows after an id, looked at
through the primary key, so that no statement reads a whole history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Strand:
    """A table to prune. `at` is when a row was made, and `over` whether row `x` may go, in SQL.

    What `also` names, tables with the column that refers to the row, goes with it.
    """

    table: str
    at: str
    over: str
    piece: int
    also: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """A piece: the ids in it that are over, and the id after which the next one begins.

    `last` is None when nothing behind it is old enough, or there is nothing.
    """

    ids: Sequence[int]
    last: int | None


# A row goes with its run: both must have ended, the run long ago. What belongs to no task any more
# goes too.
_OF_ENDED_RUN: Final = """x.at < %(before)s AND NOT EXISTS (
    SELECT FROM lmx.tasks t JOIN lmx.tasks r ON r.id = t.root_id
    WHERE t.id = x.task_id
      AND (t.finished_at IS NULL OR r.finished_at IS NULL OR r.finished_at >= %(before)s))"""

_BATCH: Final = """x.ended_at < %(before)s AND NOT EXISTS (
    SELECT FROM lmx.batch_calls m
    LEFT JOIN lmx.tasks t ON t.id = m.task_id LEFT JOIN lmx.tasks r ON r.id = t.root_id
    WHERE m.batch_id = x.id
      AND (m.outcome IS NULL OR t.id IS NOT NULL
           AND (t.finished_at IS NULL OR r.finished_at IS NULL OR r.finished_at >= %(before)s)))"""

_WORKER: Final = """x.stopped_at < %(before)s
    AND NOT EXISTS (SELECT FROM lmx.devices d WHERE d.worker_id = x.id)
    AND NOT EXISTS (SELECT FROM lmx.tasks t WHERE t.worker_id = x.id AND t.state = 'leased')"""

# Nothing of the tree may go on, hold money or be on its way at a provider. A root is never revived
# without its row being locked, so this holds while that lock does.
_RUN: Final = """x.parent_id IS NULL AND x.finished_at < %(before)s AND NOT EXISTS (
    WITH RECURSIVE tree AS (
        SELECT x.id, x.finished_at
        UNION ALL
        SELECT c.id, c.finished_at FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id)
    SELECT FROM tree WHERE finished_at IS NULL
        OR EXISTS (SELECT FROM lmx.budgets b WHERE b.task_id = tree.id AND NOT b.closed)
        OR EXISTS (SELECT FROM lmx.allowance_holds h
                   WHERE h.task_id = tree.id AND h.cost IS NULL)
        OR EXISTS (SELECT FROM lmx.batch_calls m
                   WHERE m.task_id = tree.id AND m.outcome IS NULL))"""

#: What tells how runs went. Their inputs, results, steps and money are no records in this sense.
RECORDS: Final = (
    Strand("decisions", "at", _OF_ENDED_RUN, 2000),
    Strand("events", "at", _OF_ENDED_RUN, 2000),
    Strand("batches", "created_at", _BATCH, 50, also=(("batch_calls", "batch_id"),)),
    Strand("workers", "started_at", _WORKER, 500),
)
RUNS: Final = Strand("tasks", "created_at", _RUN, 500)

_LOOK: Final = """
SELECT max(id), bool_or(at < %(before)s) AND count(*) = %(piece)s,
       coalesce(array_agg(id ORDER BY id) FILTER (WHERE over), '{{}}')
FROM (SELECT x.id, x.{at} AS at, {over} AS over
      FROM (SELECT * FROM lmx.{table} WHERE id > %(after)s ORDER BY id LIMIT %(piece)s) x) looked
"""
_STILL: Final = "SELECT x.id FROM lmx.{table} x WHERE x.id = ANY(%(ids)s) AND {over}"


def look(conn: Connection, strand: Strand, before: datetime, after: int) -> Look:
    """Look at the next piece of a strand."""
    query = _LOOK.format(table=strand.table, at=strand.at, over=strand.over)
    asked = {"before": before, "after": after, "piece": strand.piece}
    row = conn.execute(query, asked).fetchone()
    assert row is not None
    last, old, ids = row
    return Look(ids, last if old else None)


def still_over(conn: Connection, strand: Strand, before: datetime, ids: Sequence[int]) -> list[int]:
    """Those of these rows that are over now."""
    query = _STILL.format(table=strand.table, over=strand.over)
    rows = conn.execute(query, {"before": before, "ids": list(ids)}).fetchall()
    return [row[0] for row in rows]


def delete(conn: Connection, table: str, column: str, ids: Sequence[int]) -> int:
    """Delete the rows of a table that belong to these ids; return how many went."""
    if not ids:
        return 0
    query = f"DELETE FROM lmx.{table} WHERE {column} = ANY(%s)"  # noqa: S608
    return conn.execute(query, [list(ids)]).rowcount

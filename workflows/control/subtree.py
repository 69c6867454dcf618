"""Ends whole trees in one transaction: their leases, holds, budgets, waits and workers.

Locks are taken as everywhere: ascending ids, parents before children. A coordinator in the tree
may spawn until its row is locked, so the tree is read again until nothing new appears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lmx.workflows.closing import closing_rounds
from lmx.workflows.control.transaction import Connection, lock
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: Tells workers which of their tasks to stop; the payload is ids, separated by commas.
CANCEL_CHANNEL: Final = "lmx:cancel"
# A payload has less than 8,000 bytes, and an id at most 19 digits.
_IDS_PER_NOTICE: Final = 350

CANCELLED: Final = {"kind": "cancelled", "message": "it was cancelled with what it belonged to"}


@dataclass(frozen=True, slots=True)
class Ending:
    """How the top of a tree ends. `tried` counts the attempt that this ends."""

    task_id: int
    state: str
    error: dict[str, Any]
    tried: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended: all tasks, and those of them that somebody held."""

    tasks: tuple[int, ...]
    leased: tuple[int, ...]


def lock_trees(conn: Connection, tops: Sequence[int]) -> list[int]:
    """Lock the tops, what is unfinished beneath them, and their parents; return all but these."""
    locked: set[int] = set()
    while True:
        rows = conn.execute(statement("subtree"), {"ids": list(tops)}).fetchall()
        found = {task_id for task_id, _ in rows}
        if found <= locked:
            return sorted(task_id for task_id, above in rows if not above)
        lock(conn, found - locked)
        locked |= found


def end_trees(conn: Connection, tree: Sequence[int], endings: Sequence[Ending]) -> Ended:
    """End every unfinished task of locked trees: the tops as `endings` say, the rest cancelled.

    Wakes waiting parents, charges or releases what running attempts held, returns unspent
    ceilings upwards, tells workers to stop and waiters to look.
    """
    tops = [
        {"id": e.task_id, "state": e.state, "error": e.error, "tried": e.tried} for e in endings
    ]
    rows = conn.execute(
        statement("end"), {"ids": list(tree), "tops": encode(tops), "error": encode(CANCELLED)}
    ).fetchall()
    budgeted = [(row[0], row[1]) for row in rows if row[2]]
    leased = sorted(row[0] for row in rows if row[3])
    if paying := sorted({*leased, *(task_id for task_id, _ in budgeted)}):
        conn.execute(statement("forfeit"), {"ids": paying})
    if budgeted:
        close_budgets(conn, budgeted)
    if leased:
        conn.execute(statement("lose_calls"), {"ids": leased})
    stop_workers(conn, leased)
    return Ended(tuple(sorted(row[0] for row in rows)), tuple(leased))


def close_budgets(conn: Connection, tasks: Sequence[tuple[int, int | None]]) -> None:
    """Close the budgets of finished tasks, given with their parents, as far up as they can."""
    rounds = closing_rounds(tasks)
    while rounds:
        rows = conn.execute(statement("close_budgets"), {"ids": rounds.pop(0)}).fetchall()
        if not rounds and rows:
            rounds.append(sorted({row[0] for row in rows}))


def stop_workers(conn: Connection, ids: Sequence[int]) -> None:
    """Tell the workers that hold these tasks to stop them."""
    for start in range(0, len(ids), _IDS_PER_NOTICE):
        payload = ",".join(map(str, ids[start : start + _IDS_PER_NOTICE]))
        conn.execute("SELECT pg_notify(%s, %s)", [CANCEL_CHANNEL, payload])

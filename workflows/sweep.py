"""Heal what is stuck: give back the tasks of dead workers, dead-letter what kills its workers.

A worker is dead when its lease has expired, or at once when this host can tell: its process is
gone, or the host has booted since the worker was last seen. Whoever sweeps first does the work;
the others find nothing left to do.
"""

import socket
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.control.subtree import end_trees, lock_trees
from lmx.workflows.host import gone
from lmx.workflows.operations import Operation, apply, keep
from lmx.workflows.sql import statement

#: Deliveries without progress after which a task is a dead letter (R7).
MAX_DELIVERIES: Final = 5


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    workers: int
    requeued: int
    poisoned: int


def sweep(
    conn: psycopg.Connection[Any], max_deliveries: int = MAX_DELIVERIES, *, expired: bool = True
) -> Swept:
    """Declare dead workers dead and give their tasks back.

    Without `expired`, a lease that has run out proves nothing: only what this host can tell does.
    """
    with conn.transaction():
        told = {"gone": _gone_from_this_host(conn), "expired": expired}
        dead = conn.execute(statement("dead_workers"), told, prepare=True).fetchall()
    requeued = poisoned = 0
    while True:
        with conn.transaction():
            rows = conn.execute(statement("orphans"), prepare=True).fetchall()
            operations = [
                one for row in rows for one in (keep(*row[:2]), _verdict(row, max_deliveries))
            ]
            applied = apply(conn, operations) if operations else []
            done = [op for op, result in zip(operations, applied, strict=True) if result.accepted]
            _end_children(conn, [op.task_id for op in done if op.kind == "finish"])
        kinds = [op.kind for op in done]
        requeued += kinds.count("requeue")
        poisoned += kinds.count("finish")
        if not kinds:
            return Swept(len(dead), requeued, poisoned)


def _end_children(conn: psycopg.Connection[Any], failed: list[int]) -> None:
    """Cancel what dead-lettered coordinators have left running: nobody would read its results."""
    if failed:
        end_trees(conn, lock_trees(conn, failed), ())


def _gone_from_this_host(conn: psycopg.Connection[Any]) -> list[int]:
    """Workers of this host that cannot be alive any more."""
    rows = conn.execute(
        "SELECT id, boot_id, pid, pid_started,"
        " extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM lmx.workers"
        " WHERE stopped_at IS NULL AND host = %s",
        [socket.gethostname()],
    ).fetchall()
    return gone(rows)


def _verdict(row: tuple[Any, ...], max_deliveries: int) -> Operation:
    task, seq, parent, deliveries, worker, budgeted, units, progressed = row
    costs: dict[str, int | None] = dict.fromkeys(units)
    told = {"worker": worker, "deliveries": deliveries}
    lost: list[dict[str, Any]] = [{"kind": "lost", "data": {}}]
    if progressed or deliveries < max_deliveries:
        return Operation(
            "requeue",
            task,
            seq,
            {"lost": True, "progressed": progressed},
            costs=costs,
            event={"kind": "recovered", "data": told},
            news=lost,
        )
    error = {
        "kind": "poison",
        "message": f"its worker died {deliveries} times while running it",
    }
    return Operation(
        "finish",
        task,
        seq,
        {"state": "failed", "error": error},
        parent_id=parent,
        costs=costs,
        event={"kind": "dead_lettered", "data": told},
        news=lost,
        closes=budgeted,
    )

"""Gives back what the database believes this worker holds and the worker knows nothing of.

That happens when a connection breaks between the commit of a claim and its answer. Nobody works
on such a task and nobody would ever notice, because the worker's heartbeat keeps its lease alive.
"""

import logging
from collections.abc import Sequence
from typing import Any

import psycopg

from lmx.workers.outcome import unbegun
from lmx.workflows.operations import apply
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.reconcile")


def reconcile(conn: psycopg.Connection[Any], worker_id: int, known: Sequence[int]) -> int:
    """Requeue the worker's leases other than those on the tasks `known`; return how many.

    Call it while no claim is under way, or a fresh claim could be taken for a lost one.
    """
    row = {"worker": worker_id, "known": list(known)}
    lost = conn.execute(statement("held_leases"), row, prepare=True).fetchall()
    if not lost:
        return 0
    with conn.transaction():
        applied = apply(conn, [unbegun(task, seq) for task, seq in lost])
    returned = sum(one.accepted for one in applied)
    log.warning("gave back %d tasks whose claim was interrupted", returned)
    return returned

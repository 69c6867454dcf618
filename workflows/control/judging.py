"""Verdicts on the answers of models: whoever asked says whether an answer was any good."""

from typing import Final

from lmx.workflows.control.transaction import Connection, lock, record, transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, InvalidInput, NotFound, Refused
from lmx.workflows.names import GENERATE
from lmx.workflows.operations import encode

#: Characters of a reason that are kept.
MAX_REASON: Final = 2_000
_KINDS: Final = {True: "accepted", False: "rejected"}
_CALLER: Final = "caller"


def judge(database: Database, task_id: int, *, accepted: bool, reason: str = "") -> bool:
    """Record a verdict on a call's answer; it counts in the quality breaker of the call's pool.

    A repeat changes nothing; returns whether it was the first. Raises NotFound, Refused (no call
    of a model, or it has not answered), Conflict (the opposite was said before), InvalidInput.
    """
    return transact(database, lambda conn: judge_on(conn, task_id, accepted, reason))


def judge_on(conn: Connection, task_id: int, accepted: bool, reason: str) -> bool:
    """Do as `judge`, in the caller's transaction."""
    if "\x00" in reason or len(reason) > MAX_REASON:
        raise InvalidInput(f"a reason has at most {MAX_REASON} characters and no NUL")
    lock(conn, [task_id])
    row = conn.execute(
        "SELECT t.root_id, t.name, t.state::text, c.pool_id FROM lmx.tasks t"
        " LEFT JOIN lmx.calls c ON c.task_id = t.id WHERE t.id = %s",
        [task_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no task {task_id}", hint="see them with: lmx runs")
    run, name, state, pool = row
    if name != GENERATE or state != "succeeded":
        raise Refused(f"task {task_id} ({name}, {state}) is no call of a model that has answered")
    said = conn.execute(
        "SELECT kind FROM lmx.events WHERE run_id = %s AND task_id = %s"
        " AND kind = ANY(%s) AND data ->> 'by' = %s",
        [run, task_id, list(_KINDS.values()), _CALLER],
    ).fetchone()
    if said is not None:
        if said[0] != _KINDS[accepted]:
            raise Conflict(f"the answer of task {task_id} was {said[0]} before")
        return False
    why = {"reason": reason} if reason else {}
    record(conn, task_id, _KINDS[accepted], by=_CALLER, **why)
    if pool is not None:
        conn.execute(
            "INSERT INTO lmx.pool_news (pool_id, task_id, kind, data)"
            " VALUES (%s, %s, 'judged', %s)",
            [pool, task_id, encode({"accepted": accepted, **why})],
        )
    return True

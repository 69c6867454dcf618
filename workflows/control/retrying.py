"""Puts dead letters back to work: single tasks, and failed runs as a whole."""

from typing import Final

from lmx.workflows.closing import closing_rounds
from lmx.workflows.control.transaction import Connection, lock, record, transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, NotFound, Refused
from lmx.workflows.sql import statement

_ABANDON: Final = (
    "UPDATE lmx.batch_calls SET outcome = 'abandoned' WHERE task_id = ANY(%s) AND outcome IS NULL"
)


def retry(database: Database, task_id: int) -> int:
    """Put a failed or cancelled task back into its queue, with all of its attempts.

    A coordinator takes its failed and cancelled children along, and keeps its checkpoints and its
    children that succeeded. Returns how many tasks were put back. Raises NotFound, Conflict (the
    task has not failed), Refused (nobody would read its result), BudgetExceeded (what the task
    had not spent is spent by now).
    """

    def work(conn: Connection) -> int:
        row = conn.execute(
            "SELECT t.state::text, t.parent_id, t.root_id, p.state::text FROM lmx.tasks t"
            " LEFT JOIN lmx.tasks p ON p.id = t.parent_id WHERE t.id = %s",
            [task_id],
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no task {task_id}", hint="see them with: lmx runs")
        state, parent, root, parent_state = row
        _require_undone(f"task {task_id}", state)
        if parent_state in ("failed", "cancelled"):
            raise Refused(
                f"task {task_id} belongs to coordinator {parent}, which has {parent_state} itself",
                hint=f"put the whole run back with: lmx resume {root}",
            )
        if parent_state == "succeeded":
            raise Refused(f"task {task_id} belongs to coordinator {parent}, which has succeeded")
        return _revive(conn, task_id, "retried")

    return transact(database, work)


def resume_failed_run(database: Database, run_id: int) -> int:
    """Let a failed or cancelled run go on from its checkpoints.

    Its coordinator and the failed and cancelled tasks beneath it run again; what has succeeded is
    kept and not repeated. Returns how many tasks were put back. Raises as `retry` does.
    """

    def work(conn: Connection) -> int:
        row = conn.execute(
            "SELECT state::text, parent_id, root_id FROM lmx.tasks WHERE id = %s", [run_id]
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no run {run_id}", hint="see them with: lmx runs")
        state, parent, root = row
        if parent is not None:
            raise Refused(f"task {run_id} is part of run {root}", hint=f"lmx resume {root}")
        _require_undone(f"run {run_id}", state)
        conn.execute("UPDATE lmx.runs SET paused = false WHERE id = %s AND paused", [run_id])
        return _revive(conn, run_id, "resumed")

    return transact(database, work)


def _require_undone(what: str, state: str) -> None:
    if state == "succeeded":
        raise Conflict(f"{what} has succeeded, so there is nothing to repeat")
    if state not in ("failed", "cancelled"):
        raise Conflict(f"{what} has not failed: it is {state}")


def _revive(conn: Connection, top: int, kind: str) -> int:
    rows = conn.execute(statement("undone"), {"id": top}).fetchall()
    lock(conn, [task_id for row in rows for task_id in row if task_id is not None])
    rows = conn.execute(statement("undone"), {"id": top}).fetchall()
    tasks = [row[0] for row in rows]
    # What is still in a batch for an earlier attempt is paid for as if nobody knew its outcome.
    conn.execute(_ABANDON, [tasks])
    conn.execute(statement("forfeit"), {"ids": tasks})
    # The parents' budgets open first: what the children's take comes out of them.
    for ids in reversed(closing_rounds(rows)):
        conn.execute(statement("reopen_budgets"), {"ids": ids})
    back = conn.execute(statement("revive"), {"ids": tasks}).fetchall()
    if not any(row[0] == top for row in back):
        raise Conflict(f"task {top} has been put back by somebody else just now")
    record(conn, top, kind, tasks=len(back))
    return len(back)

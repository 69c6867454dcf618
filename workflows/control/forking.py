"""Starts a new run from the middle of another."""

from lmx.workflows.control.transaction import Connection, record, transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound, Refused
from lmx.workflows.sql import statement


def fork(database: Database, run_id: int, before_step: str) -> int:
    """Start a run that continues where `run_id` stood before it recorded `before_step`.

    The new run has the other's input, the steps recorded before that one, the children spawned
    before it that have succeeded, the signals and the working memory; none of that runs again.
    It spends from budgets as large as the other's were, and paying for the kept children is not
    repeated. Returns the new run's id. Raises NotFound (no such run or step), Refused.
    """

    def work(conn: Connection) -> int:
        row = conn.execute(
            "SELECT role::text, parent_id, root_id FROM lmx.tasks WHERE id = %s", [run_id]
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no run {run_id}", hint="see them with: lmx runs")
        role, parent, root = row
        if parent is not None:
            raise Refused(f"task {run_id} is part of run {root}", hint="fork the run")
        if role != "coordinator":
            raise Refused(
                f"run {run_id} is a single task and has no steps", hint="enqueue it again"
            )
        args = {"run": run_id, "step": before_step}
        forked = conn.execute(statement("fork"), args).fetchone()
        if forked is None:
            raise NotFound(
                f"run {run_id} has recorded no step {before_step!r}; it has {_steps(conn, run_id)}"
            )
        record(conn, forked[0], "forked", run=run_id, before=before_step)
        return int(forked[0])

    return transact(database, work)


def _steps(conn: Connection, run_id: int) -> str:
    # Names with a colon are lmx's own records, of sleeps and the like.
    rows = conn.execute(
        "SELECT name FROM lmx.checkpoints WHERE task_id = %s AND name NOT LIKE '%%:%%'"
        " ORDER BY at LIMIT 20",
        [run_id],
    ).fetchall()
    return ", ".join(row[0] for row in rows) or "none"

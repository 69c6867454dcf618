"""Pauses and resumes runs and queues. What has been started runs on to its end.

The ready tasks of a paused run are shelved: scheduled for the time 'infinity'. Claims walk the
ready tasks of a queue in order, so a hundred thousand that none may take would slow every claim;
shelved ones are in no index that a claim or a promotion walks. Spawns and promotions shelve what
they would have made ready, which takes a lock against `resume_run`: see spawn.sql, promote.sql.
The few that become ready otherwise (a woken coordinator, a lost attempt) stay, and claim.sql
steps over them.
"""

from lmx.workflows.control.transaction import Connection, lock, record, transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, NotFound, Refused
from lmx.workflows.sql import statement


def pause_run(database: Database, run_id: int) -> bool:
    """Start no more tasks of a run; returns False if it was paused already.

    Raises NotFound, Refused (a task within a run), Conflict (it has finished).
    """

    def work(conn: Connection) -> bool:
        ids = _lock_run(conn, run_id)
        changed = conn.execute(
            "INSERT INTO lmx.runs AS r (id, paused) VALUES (%s, true)"
            " ON CONFLICT (id) DO UPDATE SET paused = true WHERE NOT r.paused",
            [run_id],
        )
        if changed.rowcount == 0:
            return False
        shelved = conn.execute(statement("shelve"), {"ids": ids}).rowcount
        record(conn, run_id, "paused", shelved=shelved)
        return True

    return transact(database, work)


def resume_run(database: Database, run_id: int) -> bool:
    """Start the tasks of a paused run again; returns False if it was not paused.

    Raises as `pause_run` does. For a run that has failed: `resume_failed_run`.
    """

    def work(conn: Connection) -> bool:
        _lock_run(conn, run_id)
        changed = conn.execute(
            "UPDATE lmx.runs SET paused = false WHERE id = %s AND paused", [run_id]
        )
        if changed.rowcount == 0:
            return False
        # Read anew: promotions that held the run's row until now have shelved more.
        row = conn.execute(statement("unshelve"), {"ids": _tree(conn, run_id)}).fetchone()
        record(conn, run_id, "resumed", unshelved=row[0] if row else 0)
        return True

    return transact(database, work)


def pause_queue(database: Database, name: str) -> bool:
    """Start no more tasks of a queue; returns False if it was paused already. Raises NotFound."""
    return _set_queue(database, name, True)


def resume_queue(database: Database, name: str) -> bool:
    """Start the tasks of a paused queue again; returns False if it was not paused."""
    return _set_queue(database, name, False)


def _set_queue(database: Database, name: str, paused: bool) -> bool:
    def work(conn: Connection) -> bool:
        row = conn.execute(
            "SELECT paused FROM lmx.queues WHERE name = %s FOR UPDATE", [name]
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no queue {name!r}", hint="see them with: lmx status")
        if row[0] is paused:
            return False
        conn.execute("UPDATE lmx.queues SET paused = %s WHERE name = %s", [paused, name])
        if not paused:
            conn.execute("SELECT pg_notify(%s, '')", [f"lmx:{name}"])
        return True

    return transact(database, work)


def _lock_run(conn: Connection, run_id: int) -> list[int]:
    """Lock the coordinators of an unfinished run, so that none is spawning; return its tasks."""
    row = conn.execute(
        "SELECT parent_id, root_id, finished_at IS NOT NULL FROM lmx.tasks WHERE id = %s", [run_id]
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {run_id}", hint="see them with: lmx runs")
    if row[0] is not None:
        raise Refused(f"task {run_id} is part of run {row[1]}", hint="name the run")
    if row[2]:
        raise Conflict(f"run {run_id} has finished")
    locked: set[int] = set()
    while minds := set(_tree(conn, run_id, coordinators=True)) - locked:
        lock(conn, minds)
        locked |= minds
    return _tree(conn, run_id)


def _tree(conn: Connection, run_id: int, *, coordinators: bool = False) -> list[int]:
    row = conn.execute(
        statement("unfinished"), {"id": run_id, "coordinators": coordinators}
    ).fetchone()
    return list(row[0] or ()) if row else []

"""Queues and workers at a glance."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, func, select

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import queues, tasks, workers
from lmx.workflows.views.tasks import SHELVED


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue. `scheduled` counts tasks with a time to run, `shelved` those of paused runs."""

    name: str
    paused: bool
    ready: int
    leased: int
    scheduled: int
    shelved: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker process. `alive`: it has not stopped, and its lease has not expired."""

    id: int
    name: str
    queues: tuple[str, ...]
    host: str
    pid: int
    started_at: datetime
    expires_at: datetime
    stopped_at: datetime | None
    alive: bool
    leased: int


def _count(name: str, which: ColumnElement[bool]) -> Subquery:
    counted = select(tasks.c.queue, func.count().label("n")).where(which)
    return counted.group_by(tasks.c.queue).subquery(name)


def list_queues(database: Database) -> list[QueueView]:
    """Return all queues by name. The cost grows with the tasks that wait, not with history."""
    timed = and_(tasks.c.run_at.is_not(None), tasks.c.state == "scheduled")
    parts = [
        _count("ready", tasks.c.state == "ready"),
        _count("leased", tasks.c.state == "leased"),
        _count("scheduled", and_(timed, tasks.c.run_at < SHELVED)),
        _count("shelved", and_(timed, tasks.c.run_at == SHELVED)),
    ]
    source: FromClause = queues
    for part in parts:
        source = source.outerjoin(part, part.c.queue == queues.c.name)
    counts = [func.coalesce(part.c.n, 0) for part in parts]
    query = select(queues.c.name, queues.c.paused, *counts).select_from(source)
    with database.engine.connect() as connection:
        rows = connection.execute(query.order_by(queues.c.name))
        return [QueueView(*row) for row in rows]


def list_workers(database: Database, *, stopped: bool = False) -> list[WorkerView]:
    """Return the workers that have not signed off; with `stopped`, all that ever were."""
    held = select(tasks.c.worker_id, func.count().label("n")).where(tasks.c.state == "leased")
    leased = held.group_by(tasks.c.worker_id).subquery("leased")
    query = (
        select(
            workers.c.id,
            workers.c.name,
            workers.c.queues,
            workers.c.host,
            workers.c.pid,
            workers.c.started_at,
            workers.c.expires_at,
            workers.c.stopped_at,
            and_(workers.c.stopped_at.is_(None), workers.c.expires_at > func.clock_timestamp()),
            func.coalesce(leased.c.n, 0),
        )
        .select_from(workers.outerjoin(leased, leased.c.worker_id == workers.c.id))
        .order_by(workers.c.id)
    )
    if not stopped:
        query = query.where(workers.c.stopped_at.is_(None))
    with database.engine.connect() as connection:
        rows = connection.execute(query).all()
    return [WorkerView(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]
